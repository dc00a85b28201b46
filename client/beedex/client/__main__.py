"""`python -m beedex.client` is the `beedex` command."""

import sys

from beedex.client.command import main

if __name__ == "__main__":
    sys.exit(main())
