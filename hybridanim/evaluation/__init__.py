"""Metrics and scores of results: reconstruction, cross-identity, tables and strips."""
