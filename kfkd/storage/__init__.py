"""Files: written whole or not at all, locked, and looked at before they are believed."""
