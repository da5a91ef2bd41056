"""What `kfkd.analysing` is made of."""
