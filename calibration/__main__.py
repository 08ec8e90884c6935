"""`python -m calibration JOB.json`: runs one job as the daemon's child, and reports progress on
standard output.

The exit status is 0 when the job is done or a round is refused, 1 when it failed (the last line
says why), and 143 on SIGTERM, after saving a checkpoint.
"""

import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import TypeAdapter, ValidationError

from engines.device.memory import give_back_freed_memory
from engines.encryption.files import read_file
from engines.encryption.from_parent import take_keys
from engines.errors import AttuneError, RoundRefusedError
from engines.jobs.bench_jobs import (
    BenchAdaptJob,
    BenchDistilJob,
    BenchMemoryJob,
    BenchQualityJob,
    BenchSpeakersJob,
)
from engines.jobs.calibration_jobs import (
    BaseJob,
    CorpusJob,
    FootprintJob,
    HearingJob,
    Job,
    PrecisionJob,
    TrainJob,
    TrainRecogniserJob,
)
from engines.jobs.child_process import HANDED_OVER_VARIABLE, SIGTERM_EXIT, settle_as_child
from engines.jobs.handoff import tell_status
from engines.jobs.messages import AdaptJob, print_progress
from engines.jobs.programs import CALIBRATION_JOB, program

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(SIGTERM_EXIT)  # unwinds through `fit`, which saves


def _begin_anew(path: Path) -> NoReturn:
    """Become the process that goes on with the job: it has the same number and the same parent, and
    nothing of this one in its memory."""
    # Until there is a handler again, in `main`.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    sys.stdout.flush()
    os.execv(sys.executable, program(CALIBRATION_JOB, str(path)))  # noqa: S606 (no shell is wanted)


def _work(job: Job) -> int | None:
    """Do `job`, importing only the module that does it. Returns None where there is more to do, in
    a process that has nothing of this one in its memory."""
    match job:
        case AdaptJob():
            from .jobs.adapt import adapt

            return adapt(job, print_progress)
        case BaseJob():
            from .jobs.install_base import make_base

            return make_base(job, print_progress)
        case BenchAdaptJob():
            from .bench.adapt import bench_adapt

            return bench_adapt(job, print_progress)
        case BenchDistilJob():
            from .bench.distil import bench_distil

            return bench_distil(job, print_progress)
        case BenchMemoryJob():
            from .bench.memory import bench_memory

            return bench_memory(job, print_progress)
        case BenchQualityJob():
            from .bench.quality import bench_quality

            return bench_quality(job, print_progress)
        case BenchSpeakersJob():
            from .bench.speakers import make_speakers

            return make_speakers(job, print_progress)
        case CorpusJob():
            from .jobs.make_corpus import make_corpus

            return make_corpus(job, print_progress)
        case FootprintJob():
            from .jobs.measure_footprints import measure

            return measure(job, print_progress)
        case HearingJob():
            from .jobs.measure_hearing import measure_hearing

            return measure_hearing(job, print_progress)
        case PrecisionJob():
            from .jobs.encoder_precisions import make_precisions

            return make_precisions(job, print_progress)
        case TrainJob():
            from .jobs.train_base import train

            return train(job, print_progress)
        case TrainRecogniserJob():
            from .jobs.train_recogniser import train_base_recogniser

            return train_base_recogniser(job, print_progress)


def run(path: Path) -> int:
    """Run the job in the file `path`; returns the exit status."""
    try:
        take_keys()
        job = _JOB.validate_python(json.loads(read_file(path)))
        number = _work(job)
    except (ValidationError, OSError, ValueError) as error:
        print_progress("failed", 1.0, f"the job {path} cannot be run: {str(error).splitlines()[0]}")
        return 1
    except RoundRefusedError as error:
        print_progress("refused", 1.0, str(error))
        return 0
    except AttuneError as error:
        print_progress("failed", 1.0, str(error))
        return 1
    except MemoryError:
        print_progress(
            "failed", 1.0, "out of memory; free some or lower adapt.training_seconds and try again"
        )
        return 1
    if number is None:
        _begin_anew(path)
    print_progress("done", 1.0, str(number))
    return 0


def main() -> int:
    """Settle as a background child and run the job named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m calibration JOB.json", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    settle_as_child()
    if HANDED_OVER_VARIABLE in os.environ:
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
    """Kill this process when the daemon ends: a daemon that is not the parent cannot have the
    kernel do so, but its socket, on which it never says anything, ends with it."""
    with socket.socket(fileno=os.dup(1)) as connection, suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _end(status: int) -> NoReturn:
    """End the process at once. A thread of llama.cpp may still run, from under which an orderly end
    would pull its library: that was a round that was done, and counted as killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        found = main()
    except SystemExit as left:
        found = int(left.code or 0)
    _end(found)
