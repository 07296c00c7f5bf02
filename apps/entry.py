"""Where the command ``hybridanim`` and ``python run_pipeline.py`` both start."""

from __future__ import annotations

import signal


def main() -> int:
    """Run the command line of this process; returns the exit code.

    The imports take a second. Ctrl-C during them ends the process at once, without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .main import main

    return main()
