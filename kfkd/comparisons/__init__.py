"""What `kfkd.comparing` is made of."""
