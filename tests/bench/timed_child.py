"""`python -m tests.bench.timed_child LOG JOB.json`: does a job as `python -m calibration` does, and
appends to LOG, for each process of it, the processor seconds that encryption took and those of
all."""

import atexit
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import calibration.__main__ as calibration
from engines.encryption import files

_taken = [0.0]


def _timed(what: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return what(*arguments)
        finally:
            _taken[0] += time.thread_time() - began

    return timed


def main() -> int:
    """Do the job, or the next stage of it."""
    log = Path(sys.argv.pop(1))

    def note() -> None:
        with log.open("a") as file:
            file.write(json.dumps([_taken[0], time.process_time()]) + "\n")

    def again(_program: str, path: str) -> list[str]:
        note()  # `exec` follows, and nothing that is done at the end
        atexit.unregister(note)
        return [sys.executable, "-m", "tests.bench.timed_child", str(log), path]

    there = vars(files)
    there.update({name: _timed(there[name]) for name in ("encrypt", "decrypt")})
    vars(calibration)["program"] = again
    atexit.register(note)
    return calibration.main()


if __name__ == "__main__":
    sys.exit(main())
