"""`python train.py --config FILE` is `centernet fit --config FILE`."""

import sys

from centernet.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
