"""Prints the number of blocks of the documentation that tests run, and the reasons for others."""

import sys

from tests.docs.blocks import report

if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
