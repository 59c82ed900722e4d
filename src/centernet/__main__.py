"""`python -m centernet` is `centernet`."""

import sys

from centernet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
