"""What a person starts: the subcommands of the command line."""

from hybridanim import environment as environment  # before NumPy and OpenCV are imported
