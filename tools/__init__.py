"""Programs that draw this repository's test data and pictures."""
