"""Kaggle submissions: reading the id table, writing, ensembles, local scoring."""
