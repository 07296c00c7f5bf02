"""The subcommand live: animate pictures by a camera."""
