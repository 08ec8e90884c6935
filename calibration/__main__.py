"""`python -m calibration JOB.json`: runs one job as the daemon's child, reporting progress on standard output.

Leaves with 0 when the job is done or a round is refused, 1 when it failed (the last line says why), 143 on SIGTERM, after saving
a checkpoint.
"""

import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import TypeAdapter, ValidationError

from engines.device.heap import give_back_freed_memory
from engines.errors import AttuneError, RoundRefusedError
from engines.jobs.child_process import settle_as_child
from engines.jobs.handoff import VARIABLE, tell_status
from engines.jobs.messages import (
    AdaptJob,
    BaseJob,
    BenchAdaptJob,
    BenchDistilJob,
    BenchMemoryJob,
    BenchQualityJob,
    BenchSpeakersJob,
    CorpusJob,
    FootprintJob,
    Job,
    PrecisionJob,
    Progress,
    TrainJob,
)

_JOB: TypeAdapter[Job] = TypeAdapter(Job)
_WORK: dict[type[Job], tuple[str, str]] = {
    AdaptJob: ("adapt", "adapt"),
    BaseJob: ("base_job", "make_base"),
    BenchAdaptJob: ("bench.adapt_bench", "bench_adapt"),
    BenchDistilJob: ("bench.distil_bench", "bench_distil"),
    BenchMemoryJob: ("bench.memory_bench", "bench_memory"),
    BenchQualityJob: ("bench.quality_bench", "bench_quality"),
    BenchSpeakersJob: ("bench.speakers", "make_speakers"),
    CorpusJob: ("corpus_job", "make_corpus"),
    FootprintJob: ("footprint_job", "measure"),
    PrecisionJob: ("precision_job", "make_precisions"),
    TrainJob: ("train_job", "train"),
}
"""Module and function of each kind of job; only the one that runs is imported. A function that returns None has more to do, in a
process that has nothing of this one's in its memory."""


def report(stage: str, fraction: float, note: str) -> None:
    """Print one progress line."""
    # In one piece: beside another process on the same pipe an end of line of its own would come too late.
    print(Progress(stage=stage, fraction=fraction, note=note).model_dump_json() + "\n", end="", flush=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # unwinds through `fit`, which saves


def _begin_anew(path: Path) -> NoReturn:
    """Become the process that goes on with the job: same number, same parent, nothing in memory."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until there is a handler again, in `main`
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", __package__ or "calibration", str(path)])  # noqa: S606 (no shell is wanted)


def run(path: Path) -> int:
    """Run the job in `path`; returns the exit status."""
    try:
        job = _JOB.validate_python(json.loads(path.read_text()))
        module, function = _WORK[type(job)]
        number = getattr(import_module(f".{module}", __package__), function)(job, report)
    except (ValidationError, OSError, ValueError) as error:
        report("failed", 1.0, f"the job {path} cannot be run: {str(error).splitlines()[0]}")
        return 1
    except RoundRefusedError as error:
        report("refused", 1.0, str(error))
        return 0
    except AttuneError as error:
        report("failed", 1.0, str(error))
        return 1
    except MemoryError:
        report("failed", 1.0, "out of memory; free some or lower adapt.training_seconds and try again")
        return 1
    if number is None:
        _begin_anew(path)
    report("done", 1.0, str(number))
    return 0


def main() -> int:
    """Settle as a background child and run the job named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m calibration JOB.json", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    settle_as_child()
    if VARIABLE in os.environ:
        threading.Thread(target=_end_with_daemon, daemon=True).start()
    give_back_freed_memory()
    status = 1
    try:
        status = run(Path(sys.argv[1]))
    except SystemExit as left:
        status = int(left.code or 0)
        raise
    finally:
        tell_status(status)
    return status


def _end_with_daemon() -> None:
    """A daemon that is not the parent takes nobody along; but what it never says anything on, its socket, has an end then."""
    with socket.socket(fileno=os.dup(1)) as connection, suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
