"""`python -m calibration JOB.json`: runs one job as the daemon's child, reporting progress on standard output.

Leaves with 0 when the job is done, 1 when it failed (the last line says why), 143 on SIGTERM, after saving a checkpoint.
"""

import json
import signal
import sys
from pathlib import Path
from types import FrameType

from pydantic import TypeAdapter, ValidationError

from engines.child_process import settle_as_child
from engines.errors import AttuneError
from engines.job import AdaptJob, BenchAdaptJob, BenchQualityJob, BenchSpeakersJob, CorpusJob, Job, Progress, TrainJob

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def report(stage: str, fraction: float, note: str) -> None:
    """Print one progress line."""
    print(Progress(stage=stage, fraction=fraction, note=note).model_dump_json(), flush=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # unwinds through `fit`, which saves


def run(path: Path) -> int:
    """Run the job in `path`; returns the exit status."""
    try:
        job = _JOB.validate_python(json.loads(path.read_text()))
        if isinstance(job, AdaptJob):
            from .adapt import adapt

            number = adapt(job, report)
        elif isinstance(job, CorpusJob):
            from .corpus_job import make_corpus

            number = make_corpus(job, report)
        elif isinstance(job, TrainJob):
            from .train_job import train

            number = train(job, report)
        elif isinstance(job, BenchAdaptJob):
            from .bench.adapt_bench import bench_adapt

            number = bench_adapt(job, report)
        elif isinstance(job, BenchSpeakersJob):
            from .bench.speakers import make_speakers

            number = make_speakers(job, report)
        elif isinstance(job, BenchQualityJob):
            from .bench.quality_bench import bench_quality

            number = bench_quality(job, report)
        else:
            from .base_job import make_base

            number = make_base(job, report)
    except (ValidationError, OSError, ValueError) as error:
        report("failed", 1.0, f"the job {path} cannot be run: {str(error).splitlines()[0]}")
        return 1
    except AttuneError as error:
        report("failed", 1.0, str(error))
        return 1
    except MemoryError:
        report("failed", 1.0, "out of memory; free some or lower adapt.training_seconds and try again")
        return 1
    report("done", 1.0, str(number))
    return 0


def main() -> int:
    """Settle as a background child and run the job named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m calibration JOB.json", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    settle_as_child()
    return run(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
