"""The command line, a module for each group of verbs: their flags, and what they do with them."""
