"""What a daemon asks its store all the time takes as many steps of SQLite with many utterances as
with few."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.store.faulty_labels import FaultyLabels
from daemon.store.shadow_readings import ShadowReadings
from daemon.store.sqlite import sqlite3
from daemon.store.store import Store
from tests.bench.store import fill

FEW, MANY = 600, 6000
SHADOWED = 50
Ask = Callable[[Store], object]


def newest(store: Store) -> str:
    return str(store.history.last_turns(1)[0].utterance)


def steps_of(ask: Ask, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many instructions of its virtual machine SQLite runs for `ask` on a store of `size`
    utterances."""
    fill(folder, size)
    counted = [0]

    def step() -> int:
        counted[0] += 1
        return 0

    connect = sqlite3.connect

    def counting(*arguments: object, **more: object) -> sqlite3.Connection:
        connection = connect(*arguments, **more)  # type: ignore[call-overload]
        connection.set_progress_handler(step, 1)
        return connection  # type: ignore[no-any-return]

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", counting)
        store = Store(folder)
        with store.writing() as connection:
            turns = [(turn, 1, "heard", "reply") for turn in range(size - SHADOWED, size)]
            connection.executemany("INSERT INTO shadow_readings VALUES (?, ?, ?, ?)", turns)
        counted[0] = 0
        ask(store)
        store.close()
    return counted[0]


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(
            lambda store: FaultyLabels(store, 0.8).found(), id="labels that cannot be true"
        ),
        pytest.param(lambda store: store.text_of(newest(store)), id="a text"),
        pytest.param(
            lambda store: store.confirmed_text(newest(store)), id="a text that a person gave"
        ),
        pytest.param(lambda store: store.is_labelled(newest(store)), id="whether there is a label"),
        pytest.param(lambda store: ShadowReadings(store).compared(1), id="what a candidate heard"),
        pytest.param(lambda store: store.history.last_turns(5), id="last turns"),
        pytest.param(lambda store: store.history.seconds_since_round(), id="last round"),
        pytest.param(lambda store: store.problems(), id="problems"),
    ],
)
def test_a_question_costs_no_more_with_ten_times_as_many(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = steps_of(ask, tmp_path / "few", FEW, monkeypatch)
    many = steps_of(ask, tmp_path / "many", MANY, monkeypatch)
    assert many <= 1.5 * few + 100
