"""Training of the painters (networks/painters.py) on pairs that the product itself renders."""
