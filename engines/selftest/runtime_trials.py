"""Finds out which engines compute on the GPU, each in a process of its own, because some die at
their first kernel."""

import tempfile
from pathlib import Path

from ..device.runtimes import CLAIMS, Trial, keep_runtimes, read_runtimes
from ..files import one_at_a_time
from ..jobs.engine_jobs import TrialJob
from ..jobs.messages import Report
from .claims import Request
from .runner import Verdict, run_claims


def run(job: TrialJob, report: Report) -> None:
    """Try every engine on the GPU and write the results. Where another process does so meanwhile,
    it is waited for, and the engines are not tried again."""
    with one_at_a_time(job.output.with_suffix(".lock")) as waited:
        if not waited or read_runtimes(job.output) is None:
            keep_runtimes(job.output, _tried(job, report))


def _tried(job: TrialJob, report: Report) -> list[Trial]:
    def tell(verdict: Verdict) -> None:
        report("try", 0.5, f"{verdict.says} {verdict.state}{verdict.note and ': '}{verdict.note}")

    with tempfile.TemporaryDirectory(prefix="attune-trials-") as name:
        request = Request(
            encoder=job.engines.encoder,
            graph=job.engines.encoder,
            precision="float32",
            language_model=job.engines.replying_language_model,
            whisper=job.engines.encoder_weights,
            folder=Path(name),
            recordings=[],
            threads=job.threads,
        )
        found = run_claims(request, tell, only=CLAIMS)
    return [Trial(claim=one.claim, held=one.state == "held", note=one.note) for one in found]
