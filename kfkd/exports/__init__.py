"""What `kfkd.exporting` is made of."""
