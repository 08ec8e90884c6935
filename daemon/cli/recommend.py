"""`attune engines recommend`: which speech model serves this user best on this device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from engines.device.memory import proportional_bytes
from engines.errors import AttuneError
from engines.generations.folder import read_generation
from engines.generations.pointers import usable
from engines.jobs.calibration_jobs import HearingJob
from engines.jobs.footprints import footprints_of, footprints_path
from engines.jobs.messages import AdaptJob, EngineFiles, Example
from engines.jobs.speech_models import (
    Misheard,
    SpeechModel,
    SpeechModelFigures,
    SpeechModelsMeasured,
)
from engines.models.cache import model_path
from engines.models.general_speech import retention_examples
from engines.models.manifest import SPEECH_MODEL, load_manifest
from engines.schema import read_json

from ..config.installation_key import share_keys
from ..config.settings import Settings
from ..model_files import model_files
from ..training.memory_plan import Plan, Resident, plan
from ..training.round_inputs import recogniser_recipe, stored_examples
from .common import OTHER_MACHINE, AsJson, console, gib, print_json, settings
from .engines import run_child
from .sheet import Sheet

LONGEST_SECONDS = 1.5
"""The longest time to hear an utterance of an assistant that one likes to talk to."""
SAME_ERROR = 0.01
"""A difference of word error below which a quicker model is the better one."""
LEAST_OWN = 10
"""The fewest own recordings that tell more than those of a clear voice."""
_RECORDINGS = 24
_ENROLLED, _ENROLLED_SECONDS = 300, 3.0
"""The utterances of 15 minutes of enrolment, for which a round is planned."""
_HOLDOUT = 8
"""One utterance in so many is held out."""


@dataclass(frozen=True)
class Candidate:
    """A speech model, as it came or with what was learnt."""

    figures: SpeechModelFigures
    plan: Plan | None
    """The plan of a round on 15 minutes of speech; None where no such round was measured."""
    in_use: bool

    @property
    def name(self) -> str:
        return self.figures.model.name

    @property
    def error(self) -> float | None:
        """The word error rate that counts: on the user's own recordings, if there are enough or no
        others; None if there are none at all."""
        own, general = self.figures.own, self.figures.general
        counted = own if own is not None and own.utterances >= LEAST_OWN else general or own
        return counted.word_error_rate if counted is not None else None

    @property
    def obstacle(self) -> str:
        """Why the model cannot be recommended; empty if it can."""
        if self.figures.seconds > LONGEST_SECONDS:
            return f"takes longer than {LONGEST_SECONDS:g} s to hear an utterance"
        if self.plan is None:
            return f"a round was not measured: attune calibrate memory --whisper {self.name}"
        return self.plan.refusal


def best_of(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate with the lowest word error among those without an obstacle; None if
    there is none.

    Of those that hear as well, within a point, the one in use comes first, because a change of the
    speech model loses what was learnt; then the quickest.
    """
    able = [one for one in candidates if one.error is not None and not one.obstacle]
    least = min((one.error or 0.0 for one in able), default=0.0)
    as_good = [one for one in able if (one.error or 0.0) <= least + SAME_ERROR]
    return min(as_good, key=lambda one: (not one.in_use, one.figures.seconds), default=None)


def recommend(as_json: AsJson = False) -> None:
    """Recommend a speech model for this device and this user.

    Every speech model that is on this machine hears recordings: yours that no round has learnt, and
    those of a clear voice. Takes minutes.
    """
    chosen = settings()
    files = model_files(chosen)
    names = _speech_models(chosen)
    folder = chosen.cache_dir / "engines" / "hearing"
    job = HearingJob(
        output=folder / "figures.json",
        engines=files,
        models=[*_with_what_was_learnt(chosen, files), *_as_they_came(chosen, names)],
        general=_spread(retention_examples(chosen.cache_dir))
        if chosen.engines.language == "en"
        else [],
        own=_own_recordings(chosen),
        threads=chosen.engines.threads,
    )
    if not job.general and not job.own:
        raise AttuneError(
            "there are no recordings of the language that is spoken; enrol some with"
            " `attune enroll`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    share_keys(chosen, folder / "job.json")
    run_child(job, folder / "job.json")
    found = read_json(job.output, SpeechModelsMeasured)
    if found is None:
        raise AttuneError(f"{job.output} was not written; {folder / 'child.log'} may say why")
    candidates = [
        Candidate(
            one, _planned(chosen, files, one), in_use=one.model.name == chosen.engines.whisper
        )
        for one in found.models
    ]
    best = best_of(candidates)
    if as_json:
        print_json(
            {
                "machine": found.machine,
                "models": [_described(one) for one in candidates],
                "recommended": best.name if best is not None else None,
            }
        )
        return
    console.print(candidates_sheet(candidates))
    for one in candidates:
        if one.obstacle:
            console.print(f"{one.name}: {escape(one.obstacle)}", highlight=False, soft_wrap=True)
    for name in _absent(chosen, names):
        megabytes = load_manifest()[name].size_bytes / 1e6
        console.print(
            f"not measured, because it is not here: {name}, {megabytes:.0f} MB"
            f" (attune models fetch {name})",
            highlight=False,
            soft_wrap=True,
        )
    if not all(one.plan.measured_here for one in candidates if one.plan is not None):
        console.print(OTHER_MACHINE, highlight=False)
    console.print(escape(_verdict(best)), highlight=False, soft_wrap=True)


def how_to_hear_with(name: str) -> str:
    """Say how a speech model is put to use."""
    return (
        f'hear with it: set engines.whisper = "{name}" and a state_dir of its own, because what'
        " was learnt belongs to the speech model that learnt it"
    )


def _verdict(best: Candidate | None) -> str:
    if best is None:
        return "no speech model can be recommended for this device"
    if best.in_use:
        return f"recommended: {best.name}, which is in use"
    return f"recommended: {best.name}; {how_to_hear_with(best.name)}"


def candidates_sheet(candidates: Sequence[Candidate]) -> Sheet:
    """Make a table of what each speech model takes and mishears."""
    own = any(one.figures.own is not None for one in candidates)
    rows = []
    for one in candidates:
        model, made = one.figures.model, one.plan
        minutes = sum(stage.seconds for stage in made.stages) / 60 if made is not None else 0.0
        rows.append(
            (
                f"{one.name}, generation {int(model.generation.name)}"
                if model.generation is not None
                else one.name,
                f"{one.figures.seconds:.2f} s",
                f"{one.figures.size_bytes / 2**20:.0f} MiB",
                _rate(one.figures.general),
                *([_rate(one.figures.own)] if own else []),
                f"{minutes:.0f} min, {gib(made.peak_bytes)}" if made is not None else "",
            )
        )
    return Sheet(
        (
            "speech model",
            "hears in",
            "memory",
            "clear voice",
            *(["you"] if own else []),
            "round on 15 min",
        ),
        rows,
        {"speech model", "round on 15 min"},
    )


def _rate(misheard: Misheard | None) -> str:
    return f"{100 * misheard.word_error_rate:.1f} %" if misheard is not None else ""


def _described(one: Candidate) -> dict[str, object]:
    made = one.plan
    return one.figures.model_dump(mode="json") | {
        "in_use": one.in_use,
        "obstacle": one.obstacle,
        "round_seconds": sum(stage.seconds for stage in made.stages) if made is not None else None,
        "round_peak_bytes": made.peak_bytes if made is not None else None,
    }


def _speech_models(chosen: Settings) -> list[str]:
    """The speech models of the manifests that know the language that is spoken."""
    return [
        model.name
        for model in load_manifest().values()
        if model.role == SPEECH_MODEL
        and (chosen.engines.language == "en" or not model.name.endswith(".en"))
    ]


def _as_they_came(chosen: Settings, names: Sequence[str]) -> list[SpeechModel]:
    absent = _absent(chosen, names)
    return [
        SpeechModel(name=name, whisper=model_path(name, chosen.cache_dir))
        for name in names
        if name not in absent
    ]


def _absent(chosen: Settings, names: Sequence[str]) -> list[str]:
    manifest = load_manifest()
    return [name for name in names if manifest[name].found(chosen.cache_dir) is None]


def _with_what_was_learnt(chosen: Settings, files: EngineFiles) -> list[SpeechModel]:
    """The speech model in use, as the served generation changed it; none if it did not."""
    generation, _ = usable(chosen.generations)
    if generation is None or generation.recogniser is None:
        return []
    return [
        SpeechModel(
            name=chosen.engines.whisper, whisper=files.encoder_weights, generation=generation.folder
        )
    ]


def _own_recordings(chosen: Settings) -> list[Example]:
    """Recordings of the user whose text a person gave, and which no round has learnt."""
    return _spread(
        [
            example
            for example in stored_examples(chosen)
            if example.holdout and example.origin != "recognised"
        ]
    )


def _spread(examples: list[Example]) -> list[Example]:
    """Return some of `examples`, from all over them."""
    return examples[:: max(1, -(-len(examples) // _RECORDINGS))]


def _planned(chosen: Settings, files: EngineFiles, figures: SpeechModelFigures) -> Plan | None:
    """Return the plan of a round on 15 minutes of speech; None if no round with these models was
    measured."""
    engines = files.model_copy(update={"encoder_weights": figures.model.whisper})
    folder = figures.model.generation
    projector = folder is not None and read_generation(folder).projector is not None
    job = AdaptJob(
        folder=Path(),
        generations=Path(),
        number=0,
        parent=0,
        engines=engines,
        features=Path(),
        examples=[
            Example(
                id=str(place),
                audio=Path(),
                text="",
                origin="enrolled",
                seconds=_ENROLLED_SECONDS,
                holdout=place % _HOLDOUT == 0,
            )
            for place in range(_ENROLLED)
        ],
        general=retention_examples(chosen.cache_dir),
        system_prompt="",
        training_seconds=chosen.adapt.training_seconds,
        recogniser=recogniser_recipe(chosen),
        trains_projector=projector and chosen.adapt.projector,
        threads=chosen.adapt.threads,
    )
    try:
        footprints, measured_here = footprints_of(
            engines, footprints_path(chosen.cache_dir), job.stages
        )
    except AttuneError:
        return None
    if not footprints.stages.keys() >= set(job.stages):
        return None
    resident = Resident(
        waiting=figures.size_bytes,
        answering=footprints.answering_bytes,
        unloaded=proportional_bytes() + footprints.left_bytes,
    )
    return plan(
        job,
        footprints,
        chosen.budget.allowed_bytes,
        resident,
        chosen.budget.unload,
        measured_here,
    )
