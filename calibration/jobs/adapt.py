"""A personal round, stage by stage; the stages themselves are elsewhere.

Each stage runs in a process of its own, so that the system has its memory back before the next one
begins: the peak of a round is that of its largest stage, not of what all of them opened. The files
of a stage lie in the job's folder, and a round that was killed goes on with the first stage that is
not done.
"""

from collections.abc import Sequence
from time import process_time

from engines.device.memory import peak_resident_bytes
from engines.jobs.messages import AdaptJob, Report

from ..round.folder import RoundFolder, StageRecord


def adapt(job: AdaptJob, report: Report) -> int | None:
    """Run the next stage of `job`. Returns the number of the generation, or None where stages are
    left, each of which needs a process of its own.

    Raises AttuneError where there is nothing to train on, the parent is damaged, or training
    diverges, and RoundRefusedError where the labels do not fit their recordings.
    """
    folder = RoundFolder(job.folder)
    left = [stage for stage in job.stages if not folder.is_done(stage)]
    if left:
        given = job if left[0] == "hear" else without_doubted(job, folder.doubted)
        began = process_time()  # the same process may have run the stage before
        record = _stage(left[0], given, report)
        taken = {
            "peak_bytes": peak_resident_bytes(),
            "stage_processor_seconds": process_time() - began,
        }
        folder.finish(left[0], record.model_copy(update=taken))
    return None if left[1:] else job.number


def without_doubted(job: AdaptJob, doubted: Sequence[str]) -> AdaptJob:
    """`job` without the examples whose ids are `doubted`: they are neither trained on nor judged
    by."""
    if not doubted:
        return job
    examples = [example for example in job.examples if example.id not in set(doubted)]
    left_out = job.labels_left_out | {"doubted": len(job.examples) - len(examples)}
    return job.model_copy(update={"examples": examples, "labels_left_out": left_out})


def _stage(name: str, job: AdaptJob, report: Report) -> StageRecord:
    """Run the stage `name`, importing only the module that does it."""
    match name:
        case "hear":
            from ..round.extract_features import extract_features

            return extract_features(job, report)
        case "recognise":
            from ..round.recognise import train_recogniser

            return train_recogniser(job, report)
        case "choose":
            from ..round.choose import choose_recogniser

            return choose_recogniser(job, report)
        case "encode":
            from ..round.encode import encode

            return encode(job, report)
        case "train":
            from ..round.train import train

            return train(job, report)
        case "lessons":
            from ..round.distil import prepare_distillation

            return prepare_distillation(job, report)
        case "distil":
            from ..round.distil import distil_round

            return distil_round(job, report)
        case "export":
            from ..round.export import export

            return export(job, report)
        case "judge":
            from ..round.judge import judge

            return judge(job, report)
        case _:
            raise ValueError(f"no stage of a round is called {name}")
