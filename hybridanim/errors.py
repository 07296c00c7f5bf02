"""The one error type that a user sees.

Every message has three parts: what was expected, what came, what to do next.
"""


class InputError(ValueError):
    """Something the user gave cannot be used; the command line prints it and exits with 2."""
