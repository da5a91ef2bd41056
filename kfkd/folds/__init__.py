"""What `kfkd.folding` is made of."""
