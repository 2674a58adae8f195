"""`python -m vicinal`: the command line."""

from __future__ import annotations

import signal
import sys
import threading

from . import _vicinal


def main() -> int:
    # The command handles signals by itself; Python does so again afterwards.
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
    try:
        return _vicinal.command_line(["vicinal", *sys.argv[1:]])
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
