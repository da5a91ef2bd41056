"""Measured scores of runs on photos, and their pictures."""
