"""The subcommand evaluate: methods side by side on a folder of clips."""
