"""Animate a picture with a driving video: the command line, run from a checkout."""

import sys

from apps.entry import main

if __name__ == "__main__":
    sys.exit(main())
