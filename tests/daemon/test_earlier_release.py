"""A state folder of 0.1.0, made by its own code: it opens, and nothing in it is lost."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.store.store import Store
from engines.generations.folder import Generation, list_generations
from engines.generations.pointers import current, previous
from tests.support.places import SUPPORT
from tests.support.running_daemon import Start, folder, start
from tests.support.stored_labels import labelled

__all__ = ["folder", "start"]

LABELS = {"turn on the light", "turn off the lights", "what time is it"}


def earlier_state(folder: Path) -> Path:
    """A copy of it. The database is kept as the statements that make it, which can be read."""
    state = folder / "state"
    shutil.copytree(SUPPORT / "state_0_1_0", state, symlinks=True)
    with closing(sqlite3.connect(state / "attune.db")) as database:
        database.executescript((state / "attune.db.sql").read_text())
    return state


def test_a_daemon_serves_what_an_earlier_one_left(start: Start, folder: Path) -> None:
    earlier_state(folder)
    daemon = start()
    status: Any = daemon.status()
    assert status["generation"] == 1
    [told] = status["problems"]  # see test_take_over.py
    assert "is encrypted now" in told
    counts = status["counts"]
    assert (counts["utterances"], counts["turns"], counts["rounds"]) == (3, 2, 1)
    assert counts["labels_by_origin"] == {"enrolled": 1, "corrected": 1, "recognised": 1}
    assert [turn["heard"] for turn in status["last_turns"]] == ["hello", "turn of the lights"]
    report: Any = daemon.do("why")[0]
    assert report["round"]["outcome"] == "promoted"
    daemon.do("correct", text="turn off all lights", turn=1)
    assert daemon.do("generations", action="rollback")[0]["generation"] == 0


def test_its_labels_are_learnt_from(folder: Path) -> None:
    store = Store(earlier_state(folder))
    assert {example.text for example in labelled(store)} == LABELS
    assert [move.generation for move in store.history.last_moves(9)] == [1]
    store.close()


def test_its_generations_are_whole_and_their_cards_say_the_same(folder: Path) -> None:
    root = earlier_state(folder) / "generations"
    found = [one for one in list_generations(root) if isinstance(one, Generation)]
    assert [one.number for one in found] == [0, 1]
    pointed = [pointer(root) for pointer in (current, previous)]
    assert [one.number if one else None for one in pointed] == [1, 0]
    kept = json.loads((root / "0001" / "card.json").read_text())
    card = found[1].card.model_dump(mode="json", exclude_unset=True)
    assert card["wall_seconds"] == kept.pop("training_seconds")
    assert {key: card[key] for key in kept} == kept
