"""What `kfkd.exploring` is made of."""
