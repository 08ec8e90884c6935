"""The jobs of the engines' own process: TensorRT plans, and trials of the runtimes."""

from pathlib import Path
from typing import Literal

from .messages import EngineFiles, JobBase

GraphPrecision = Literal["float32", "float16", "int8"]
"""The precision that a graph computes in, by any runtime."""


class PlanJob(JobBase):
    """Build a TensorRT plan of the speech encoder, or try the one that is there."""

    kind: Literal["plan"] = "plan"
    graph: Path
    """The encoder in the precision of the plan; ONNX Runtime runs the same graph for comparison."""
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
    """The file that gets the results, in the form of `engines.device.runtimes`."""


EngineJob = PlanJob | TrialJob
