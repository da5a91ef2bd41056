"""Data sets in, batches out; built-in faces; splits."""
