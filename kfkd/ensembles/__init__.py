"""What `kfkd.ensembling` is made of."""
