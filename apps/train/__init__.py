"""The subcommand train: networks of one's own from a folder of clips."""
