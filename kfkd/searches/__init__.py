"""What `kfkd.tuning` is made of."""
