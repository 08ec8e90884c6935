"""The jobs of the engines' own process: TensorRT plans, and trials of the runtimes."""

from pathlib import Path
from typing import Literal

from .messages import EngineFiles, JobBase

GraphPrecision = Literal["float32", "float16", "int8"]
"""That a graph computes in, whatever runs it."""


class PlanJob(JobBase):
    """Build a TensorRT plan of the speech encoder, or try the one that is there."""

    kind: Literal["plan"] = "plan"
    graph: Path
    """The encoder in the precision that the plan is to have; ONNX Runtime runs the same to compare
    with."""
    precision: GraphPrecision
    plans: Path
    """The folder of plans."""
    workspace_bytes: int = 512 << 20
    tries_only: bool = False


class TrialJob(JobBase):
    """Find out which engines compute on the GPU."""

    kind: Literal["trials"] = "trials"
    engines: EngineFiles
    output: Path
    """Gets what became of it, as `engines.device.runtimes` keeps it."""


EngineJob = PlanJob | TrialJob
