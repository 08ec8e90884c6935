"""The stage of a round that exports the trained projector as the graph that serves."""

import torch

from engines.jobs.messages import AdaptJob, Report

from ..export.projector import export_projector
from ..export.projector_file import load_projector
from .folder import RoundFolder, StageRecord


def export(job: AdaptJob, report: Report) -> StageRecord:
    """Write the projector's serving graph. Raises AttuneError where the projector is damaged."""
    torch.set_num_threads(job.threads)
    report("export", 0.0, "writing the graph")
    folder = RoundFolder(job.folder)
    export_projector(load_projector(folder.weights), folder.projector)
    report("export", 1.0, "")
    return StageRecord()
