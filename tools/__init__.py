"""Makers of this repository's own test data and pictures."""
