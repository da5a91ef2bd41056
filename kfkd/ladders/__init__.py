"""What `kfkd.laddering` is made of."""
