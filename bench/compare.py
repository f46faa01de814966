"""The comparison with the peers, from a checkout: python bench/compare.py [the options of `nnrt bench`]."""

import sys

from nnrt.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
