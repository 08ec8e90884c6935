"""The job of a round, made of the settings and of what is there."""

from pathlib import Path

import pytest

from daemon.store.store import Store
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import write_generation
from engines.jobs.messages import AdaptJob
from tests.support.fakes import tone, write_base
from tests.support.running_daemon import Start, folder, start
from tests.support.stored_labels import said_by_first_user

__all__ = ["folder", "start"]


@pytest.mark.parametrize(
    ("projector", "recogniser_seconds", "has_projector", "stages"),
    [
        (True, 180.0, True, {"recognise", "train"}),
        (False, 180.0, True, {"recognise"}),
        (True, 180.0, False, {"recognise"}),
        (True, 0.0, True, {"train"}),
    ],
)
def test_a_round_trains_what_is_wanted_and_there(
    start: Start,
    folder: Path,
    projector: bool,
    recogniser_seconds: float,
    has_projector: bool,
    stages: set[str],
) -> None:
    job = _planned(start, folder, projector, recogniser_seconds, has_projector)
    assert {"recognise", "train"}.intersection(job.stages) == stages
    assert ("export" in job.stages) == ("train" in stages)


def test_a_round_that_would_train_nothing_is_refused(start: Start, folder: Path) -> None:
    with pytest.raises(AttuneError, match="nothing that a round could train"):
        _planned(start, folder, True, 0.0, has_projector=False)


def _planned(
    start: Start, folder: Path, projector: bool, recogniser_seconds: float, has_projector: bool
) -> AdaptJob:
    generations = folder / "state" / "generations"
    if has_projector:
        write_base(generations)
    else:
        card = Card(number=0, parent=None, created_at="", recipe="base")
        write_generation(generations, 0, card, {})
    store = Store(folder / "state")
    for index in range(8):
        utterance = store.add_utterance(tone(1.0, 200 + 10 * index), "enrolled")
        store.add_label(utterance.id, f"hello {index}", "enrolled")
    store.close()
    daemon = start(adapt__projector=projector, adapt__recogniser_seconds=recogniser_seconds)
    return daemon.app.parts.inputs.planned_job()


@pytest.mark.parametrize(("least", "learnt"), [(0.5, {"sure"}), (0.99, set())])
def test_a_recognised_text_is_learnt_from_only_as_far_as_such_are_proven(
    start: Start, folder: Path, least: float, learnt: set[str]
) -> None:
    write_base(folder / "state" / "generations")
    store = Store(folder / "state")
    tones = (store.add_utterance(tone(1.0, 200 + 10 * index), "file") for index in range(40))
    learnt_from = [utterance.id for utterance in tones if not utterance.holdout]
    store.add_label(learnt_from[0], "confirmed", "corrected")
    store.add_label(learnt_from[1], "sure", "recognised", 0.9)
    store.add_label(learnt_from[2], "unsure", "recognised", 0.7)
    said_by_first_user(store)
    store.close()
    job = start(adapt__min_confidence=least).app.parts.inputs.planned_job()
    assert {example.text for example in job.examples} == {"confirmed"} | learnt
