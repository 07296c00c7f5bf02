"""What a person starts: the subcommands of the command line."""
