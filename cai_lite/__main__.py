"""`python -m cai_lite` and the `cai-lite` script: signals are handled before anything slow is imported."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from cai_lite.run import signals


def main() -> None:
    """Run the command line and end the process with its exit status."""
    status = 0
    with signals.handled():
        try:
            from cai_lite.cli import app

            app(prog_name="cai-lite")
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except KeyboardInterrupt:
            status = 1
        except OSError as error:  # of what is printed outside of the commands, such as their help
            from cai_lite.run.disk import disk_error

            if (fault := disk_error(error)) is None:
                raise
            status = 3
            _print(f"cai-lite: {fault}")
        if signals.asked() and status and not signals.is_told():  # outside of the commands, which say it themselves
            status = 128 + signals.asked()
            _print(f"cai-lite: {signals.told()}")
        if not _flushed() and not status:
            _print("cai-lite: standard output could not be written: its disk is full, or its reader has gone")
            status = 3
        if signals.asked():
            os._exit(status)  # threads may still wait for a server's answer
    sys.exit(status)


def _print(line: str) -> None:
    with suppress(OSError):
        os.write(2, line.encode() + b"\n")


def _flushed() -> bool:
    """Flush what was printed; return False, and drop the rest, where that is not possible."""
    good = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            good = False
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
    return good


if __name__ == "__main__":
    main()
