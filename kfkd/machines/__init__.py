"""Several devices and machines that train together."""
