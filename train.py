"""python train.py ... is captioner train ..."""

import sys

from captioner.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
