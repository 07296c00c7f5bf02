"""Measurements that the documentation quotes; each module runs with ``python -m``."""

from hybridanim import environment as environment  # before NumPy and OpenCV are imported
