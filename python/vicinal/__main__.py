"""`python -m vicinal`: the command line."""

from __future__ import annotations

import sys

from . import _vicinal


def main() -> int:
    return _vicinal.command_line(["vicinal", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
