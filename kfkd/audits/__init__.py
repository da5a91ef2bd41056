"""What `kfkd.auditing` is made of."""
