"""Animate a picture with a driving video: the command line, run from a checkout."""

import signal
import sys

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback out of imports
    from apps.main import main

    sys.exit(main())
