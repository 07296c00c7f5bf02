"""The five stages and the pipeline that runs them in order."""

from hybridanim import environment as environment  # before NumPy and OpenCV are imported
