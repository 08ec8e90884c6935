"""What set-up does once: writes the encoder as ONNX, generation 0 from the shipped base projector
and base recogniser, and the replay set."""

import json
from datetime import UTC, datetime
from functools import partial

from engines.errors import AttuneError
from engines.files import sha256_of
from engines.generations.card import Card
from engines.generations.folder import (
    BASE,
    PROJECTOR,
    RECOGNISER,
    WEIGHTS,
    write_generation,
)
from engines.jobs.calibration_jobs import BaseJob
from engines.jobs.messages import Report

from ..corpus.replay import build_replay
from ..export.encoder import export_encoder
from ..export.projector import export_projector
from ..export.projector_file import load_projector, save_projector
from ..projector.start import SHIPPED as PROJECTOR_FILE
from ..provenance import versions
from ..recogniser.start import SHIPPED as RECOGNISER_FILE
from ..recogniser.start import is_base_of

_CARD = PROJECTOR_FILE.with_name("card.json")


def make_base(job: BaseJob, report: Report) -> int:
    """Write what is missing of encoder, generation 0 and replay set; returns the number of the base
    generation. A replay set that cannot be made is only reported."""
    if not job.engines.encoder.is_file():
        report("export", 0.0, "encoder")
        export_encoder(job.engines.encoder_weights_file, job.engines.encoder)
    if not (job.generations / f"{BASE:04d}").is_dir():
        report("export", 0.5, "base projector")
        _write_base(job)
    try:
        report("frames", 0.0, "replay set")
        build_replay(job.features, job.engines, job.threads, partial(_tell_shards, report))
    except AttuneError as error:
        report("frames", 1.0, f"no replay set, so L2-SP alone keeps rounds near the base: {error}")
    return BASE


def _tell_shards(report: Report, done: int, shards: int) -> None:
    report("frames", done / max(shards, 1), f"replay set, {done} of {shards} parts")


def _write_base(job: BaseJob) -> None:
    """Write generation 0: of what ships if that was made for this Whisper, else without anything,
    and rounds begin with Whisper as it came."""
    if not is_base_of(job.engines.encoder_weights_file):
        nothing = Card(
            number=BASE,
            parent=None,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            recipe="Whisper as it came",
            versions=versions(),
            encoder_sha256=sha256_of(job.engines.encoder_weights_file),
        )
        write_generation(job.generations, BASE, nothing, {})
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    projector = load_projector(PROJECTOR_FILE)
    weights, graph = job.folder / WEIGHTS, job.folder / PROJECTOR
    save_projector(projector, weights)
    export_projector(projector, graph)
    recipe = json.loads(_CARD.read_text())
    card = Card(
        number=BASE,
        parent=None,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=f"{recipe['recipe']} base, {recipe['hours']} h of synthetic speech",
        trained_seconds_of_audio=recipe["hours"] * 3600,
        wall_seconds=recipe["wall_seconds"],
        steps=recipe["steps"],
        losses=recipe["losses"],
        seed=recipe["seed"],
        versions=versions(),
        language_model_sha256=sha256_of(job.engines.language_model),
        encoder_sha256=sha256_of(job.engines.encoder_weights_file),
        confidence=recipe["confidence"],
    )
    files = {PROJECTOR: graph, WEIGHTS: weights, RECOGNISER: RECOGNISER_FILE}
    write_generation(job.generations, BASE, card, files)
