"""Prints how many blocks of the documentation are run by tests, and why others are not."""

import sys

from tests.docs.blocks import report

if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
