"""Benchmarks: speed as ratios, a module each."""
