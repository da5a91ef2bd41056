"""What `kfkd.training` is made of."""
