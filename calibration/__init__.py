"""Tools that measure a person, a camera or a clip and save a profile."""

from hybridanim import environment as environment  # before NumPy and OpenCV are imported
