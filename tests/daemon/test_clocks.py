"""Whatever the wall clock does: nothing goes before its time, no age is negative, and what is old
goes in the end."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.attention import Attention
from daemon.clocks import REAL_TIME, SET_AFTER
from daemon.config.settings import Settings
from daemon.housekeeping import Housekeeping
from daemon.privacy.consent import Consent
from daemon.serving.moves import Moves
from daemon.store.orphans import adopt_orphans
from daemon.store.records import Round, Turn
from daemon.store.retention import surplus
from daemon.store.schema import MIGRATIONS, migrate
from daemon.store.service_clock import (
    JUMP_SECONDS,
    LONGEST_STOP_SECONDS,
    Reading,
    ServiceClock,
    seconds_since,
)
from daemon.store.sqlite import sqlite3
from daemon.store.store import Store
from daemon.training.idle import Board, Snapshot, decide
from daemon.training.round_inputs import RoundInputs
from daemon.users.users import Users
from tests.support.fakes import tone
from tests.support.idle_limits import limits
from tests.support.simulated_time import Time
from tests.support.stored_labels import labelled, said_by_first_user

DAY, YEAR = 86_400.0, 365 * 86_400.0
KEPT_DAYS = 30.0


class House:
    """A store with its housekeeping, on the clocks of a test; restarted as often as it likes."""

    def __init__(self, folder: Path, time: Time) -> None:
        self.time = time
        self.settings = Settings.model_validate(
            {
                "state_dir": folder / "state",
                "cache_dir": folder / "cache",
                "storage": {"days_of_turns": KEPT_DAYS},
            }
        )
        self.kept_at: dict[int, float] = {}
        """The true time of each turn."""
        self.open()

    def open(self) -> None:
        self.store = Store(self.settings.state_dir, self.time.clocks)
        adopt_orphans(self.store, self.time.wall)
        self.keeping = Housekeeping(
            self.settings,
            self.store,
            Attention(),
            Moves(self.settings.generations, lambda generation: None),
            self.time.clocks,
        )

    def restart(self) -> None:
        self.store.close()
        self.open()

    def keep_turn(self) -> None:
        kept = self.store.history.add_turn(
            Turn(None, "text", "words", "reply", 1.0, 2.0, None, self.time.wall)
        )
        self.kept_at[kept.id] = self.time.true

    def end_round(self) -> None:
        self.store.history.add_round(
            Round(self.time.wall, self.time.wall, None, "refused", "because", 0)
        )

    def tidy(self) -> None:
        self.keeping.tidy()

    def turns(self) -> set[int]:
        return {row[0] for row in self.store.rows("SELECT id FROM turns")}


@contextmanager
def house(folder: Path, time: Time | None = None) -> Iterator[House]:
    made = House(folder, time or Time())
    yield made
    made.store.close()


def test_turns_of_1973_stay_when_the_clock_is_right(tmp_path: Path) -> None:
    time = Time(wall=3 * YEAR)
    with house(tmp_path, time) as home:
        for _ in range(3):
            home.keep_turn()
        time.wall += 53 * YEAR
        home.tidy()
        home.restart()
        home.tidy()
        assert home.turns() == set(home.kept_at)


def test_a_round_that_ended_in_the_future_keeps_the_next_waiting_no_longer_than_settings_say(
    tmp_path: Path,
) -> None:
    time = Time()
    with house(tmp_path, time) as home:
        assert home.store.history.seconds_since_round() == math.inf
        time.wall += YEAR
        home.end_round()
        time.wall -= YEAR
        assert home.store.history.seconds_since_round() == 0
        home.restart()
        time.passes(3600)
        assert home.store.history.seconds_since_round() == 3600
        home.store.close()
        time.reboots(0, wall=100.0)
        home.open()
        time.passes(3600)
        assert home.store.history.seconds_since_round() >= 2 * 3600


def test_a_year_of_clocks_loses_nothing_that_is_young_and_keeps_nothing_that_is_old(
    tmp_path: Path,
) -> None:
    time = Time(wall=0.0)
    jumps = [60.0, -60.0, 3600.0, -DAY, 40 * DAY, -40 * DAY, 2 * YEAR, -YEAR, 53 * YEAR, -60 * YEAR]
    with house(tmp_path, time) as home:
        utterance = home.store.add_utterance(tone(0.3), "microphone").id
        home.store.add_label(utterance, "words", "corrected")
        for day in range(365):
            home.keep_turn()
            time.passes(DAY / 2)
            time.wall += jumps[day % len(jumps)]
            time.passes(DAY / 2)
            home.tidy()
            if day % 7 == 0:
                home.restart()
            if day % 30 == 0:
                home.end_round()
                time.passes(3600)
                assert home.store.history.seconds_since_round() == pytest.approx(3600)
            ages = {number: time.true - at for number, at in home.kept_at.items()}
            young = {number for number, age in ages.items() if age < KEPT_DAYS * DAY - 1}
            assert (
                young
                <= home.turns()
                <= {number for number, age in ages.items() if age < (KEPT_DAYS + 1) * DAY}
            )
        assert home.store.utterance(utterance) is not None
        assert labelled(home.store)[0].text == "words"


events = st.one_of(
    st.tuples(st.just("turn"), st.just(0.0)),
    st.tuples(st.just("round"), st.just(0.0)),
    st.tuples(
        st.just("jump"),
        st.sampled_from([60.0, DAY, YEAR, 50 * YEAR]).flatmap(lambda far: st.floats(-far, far)),
    ),
    st.tuples(st.just("time"), st.floats(0, 40 * DAY)),
    st.tuples(st.just("restart"), st.floats(0, 3 * DAY)),
    st.tuples(st.just("reboot"), st.floats(0, 20 * DAY)),
    st.tuples(st.just("reboot, wrong clock"), st.floats(-YEAR, YEAR)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(events, max_size=25), begins=st.sampled_from([0.0, SET_AFTER, 1_790_000_000.0])
)
def test_nothing_goes_before_its_time_and_all_goes_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]], begins: float
) -> None:
    time = Time(wall=begins)
    too_old_by = too_young_by = 0.0  # at most, by what restarts of the machine leave unknown
    right = True
    with house(tmp_path_factory.mktemp("clocks"), time) as home:
        for what, seconds in steps:
            match what:
                case "turn":
                    home.keep_turn()
                case "round":
                    home.end_round()
                case "jump":
                    time.wall += seconds
                    right = False
                case "time":
                    time.passes(seconds)
                case "restart":
                    home.store.close()
                    time.passes(seconds)
                    home.open()
                case "reboot":
                    home.store.close()
                    time.reboots(seconds)
                    home.open()
                    too_young_by += 20 * DAY
                    too_old_by += 0.0 if right else LONGEST_STOP_SECONDS
                case _:
                    home.store.close()
                    time.reboots(DAY, wall=time.wall + seconds)
                    home.open()
                    too_young_by += 2 * DAY
                    too_old_by += LONGEST_STOP_SECONDS
                    right = False
            home.tidy()
            assert home.store.history.seconds_since_round() >= 0
            ages = {number: time.true - at for number, at in home.kept_at.items()}
            assert {
                number for number, age in ages.items() if age < KEPT_DAYS * DAY - too_old_by - 1
            } <= home.turns()
            assert home.turns() <= {
                number for number, age in ages.items() if age <= KEPT_DAYS * DAY + too_young_by + 1
            }
        time.passes(KEPT_DAYS * DAY + 1)
        home.tidy()
        assert home.turns() == set(), "all of it is old now by a clock that was never set"


def test_the_service_clock_is_exact_within_one_start_of_the_machine() -> None:
    saved = Reading(500.0, SET_AFTER, 1000.0, "boot")
    assert seconds_since(saved, wall=0.0, elapsed=1060.0, boot="boot") == 60.0
    assert seconds_since(saved, wall=10 * SET_AFTER, elapsed=1060.0, boot="boot") == 60.0


@pytest.mark.parametrize(
    ("wall_before", "wall", "elapsed", "expected"),
    [
        (SET_AFTER, SET_AFTER + DAY, 30.0, DAY),
        (SET_AFTER, SET_AFTER + YEAR, 30.0, LONGEST_STOP_SECONDS),
        (SET_AFTER, SET_AFTER - YEAR, 30.0, 30.0),
        (100.0, SET_AFTER, 30.0, 30.0),
        (SET_AFTER, 100.0, 30.0, 30.0),
        (SET_AFTER, SET_AFTER, 2 * LONGEST_STOP_SECONDS, 2 * LONGEST_STOP_SECONDS),
    ],
)
def test_over_a_restart_of_the_machine_the_wall_clock_is_believed_within_bounds(
    wall_before: float, wall: float, elapsed: float, expected: float
) -> None:
    assert seconds_since(Reading(0.0, wall_before, 1000.0, "one"), wall, elapsed, "two") == expected
    assert seconds_since(Reading(0.0, wall_before, elapsed, ""), wall, elapsed, "") == expected, (
        "an unknown start is another"
    )


def test_a_jump_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()
    clock = ServiceClock(time.clocks, None)
    with caplog.at_level(logging.WARNING):
        time.passes(YEAR)
        time.wall += JUMP_SECONDS / 2
        clock.now()
        assert not caplog.records, "time that passes is no jump"
        time.wall -= 2 * DAY
        for _ in range(3):
            clock.now()
        assert [record.getMessage().partition(", from")[0] for record in caplog.records] == [
            "the wall clock was set back by 2 days"
        ]
        saved = clock.read()
        time.wall += YEAR
        ServiceClock(time.clocks, saved)
    assert caplog.records[-1].getMessage().startswith("the wall clock was set forward by 365 days")


def test_what_is_kept_grows_older_while_the_machine_is_suspended(tmp_path: Path) -> None:
    readings = [REAL_TIME.suspended() for _ in range(10_000)]
    assert readings[0] >= 0
    assert readings == sorted(readings)
    time = Time()
    with house(tmp_path, time) as home:
        home.end_round()
        time.sleeps(8 * 3600)
        assert home.store.history.seconds_since_round() == 8 * 3600


def test_a_clock_that_was_never_set_is_told(tmp_path: Path) -> None:
    time = Time(wall=1000.0)
    with house(tmp_path, time) as home:
        [problem] = home.store.problems()
        assert "never set: it says 1970-01-01" in problem
        time.wall = SET_AFTER
        assert home.store.problems() == []


def test_hours_cannot_be_kept_by_a_clock_that_was_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.training.round_inputs.read_board", lambda _: Board(10**10, 10**10))
    time = Time(wall=1000.0)
    with house(tmp_path, time) as home:
        nothing: Any = None
        learning = RoundInputs(
            home.settings,
            home.store,
            Consent(home.store),
            Attention(),
            Users(home.store),
            nothing,
            nothing,
            nothing,
            [],
            time.clocks,
        )
        assert learning.snapshot().minute_of_day is None
        time.wall = SET_AFTER
        assert learning.snapshot().minute_of_day is not None
    ready = Snapshot(Board(10**10, 10**10), 100, 100, minute_of_day=None)
    told = (
        "rounds start automatically from 22:00 to 06:00, but the clock of this machine was"
        " never set"
    )
    assert decide(ready, limits(hours=(22 * 60, 6 * 60))).reason == told
    assert decide(ready, limits()).run


def test_the_audio_that_was_kept_first_goes_first_whatever_the_clock_said(tmp_path: Path) -> None:
    time = Time()
    with house(tmp_path, time) as home:
        first = home.store.add_utterance(tone(0.3, 200), "microphone")
        time.wall = 1000.0
        second = home.store.add_utterance(tone(0.3, 300), "microphone")
        assert [
            one.path for one in surplus(home.store.stored_audio(), second.audio.stat().st_size)
        ] == [first.audio]
        said_by_first_user(home.store)
        assert [one.id for one in home.store.missing_labels()] == [first.id, second.id]


def test_features_of_the_future_go_first(tmp_path: Path) -> None:
    features = tmp_path / "cache" / "features"
    features.mkdir(parents=True)
    time = Time()
    for name, at in (("old", time.wall - DAY), ("new", time.wall), ("future", time.wall + YEAR)):
        (features / name).write_bytes(bytes(1000))
        os.utime(features / name, (at, at))
    with house(tmp_path, time) as home:
        home.keeping._drop_features(2500, 90 * DAY)
        assert sorted(path.name for path in features.iterdir()) == ["new", "old"]


# --- states of the version before


def older_state(folder: Path, turns: list[float]) -> None:
    """A database of form 3, with a turn of each wall-clock time, in this order."""
    steps = folder / "steps"
    steps.mkdir(parents=True)
    for step in sorted(MIGRATIONS.glob("*.sql"))[:3]:
        (steps / step.name).write_text(step.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "state").mkdir()
    connection = migrate(folder / "state" / "attune.db", steps)
    with connection:
        for number, at in enumerate(turns, 1):
            connection.execute(
                "INSERT INTO turns (id, route, heard, reply, reply_ms, created_at) VALUES (?,"
                " 'text', 'a', 'b', 1.0, ?)",
                (number, at),
            )
        connection.execute(
            "INSERT INTO rounds VALUES (1, ?, ?, 1, 'promoted', 'good', 3)", (turns[-1], turns[-1])
        )
        for number, text in enumerate(("one", "two")):
            identifier = f"{number}" * 32
            connection.execute(
                "INSERT INTO utterances VALUES (?, ?, 1.5, 'file', ?, 0)",
                (identifier, turns[0], f"{identifier}.flac"),
            )
            connection.execute(
                "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?,"
                " 'enrolled', 1.0, 1.0)",
                (identifier, text),
            )
            connection.execute(
                "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?,"
                " 'recognised', 0.5, 2.0)",
                (identifier, "misheard"),
            )
    connection.close()


def test_a_state_of_the_version_before_keeps_its_ages_where_they_can_be(tmp_path: Path) -> None:
    now = REAL_TIME.wall()
    older_state(
        tmp_path,
        [now - 400 * DAY, 3 * YEAR, now - 20 * DAY, now - 50 * DAY, now + YEAR, now - 10.0],
    )
    with house(tmp_path, Time(wall=now)) as home:
        ages = [
            round(-row[0] / DAY)
            for row in home.store.rows("SELECT service_at FROM turns ORDER BY id")
        ]
        assert ages == [400, 400, 20, 20, 20, 0], "no row is older than one before it"
        assert 0 <= home.store.history.seconds_since_round() < 3600
        home.tidy()
        assert home.turns() == {3, 4, 5, 6}
        counts = home.store.counts()
        assert (counts.labels_by_origin, counts.unlabelled, counts.new_labels) == (
            {"enrolled": 2},
            0,
            0,
        )


def test_a_state_of_1973_is_as_old_as_if_it_were_kept_now(tmp_path: Path) -> None:
    older_state(tmp_path, [3 * YEAR, 3 * YEAR + 60])
    with house(tmp_path, Time()) as home:
        home.tidy()
        assert home.turns() == {1, 2}
        assert home.store.history.seconds_since_round() < 60


def test_the_time_since_the_newest_row_counts_a_week_at_most(tmp_path: Path) -> None:
    # Long ago, or the clock is wrong now: who knows.
    older_state(tmp_path, [SET_AFTER, SET_AFTER + DAY])
    with house(tmp_path, Time()) as home:
        ages = [-row[0] for row in home.store.rows("SELECT service_at FROM turns ORDER BY id")]
        assert ages == pytest.approx([LONGEST_STOP_SECONDS + DAY, LONGEST_STOP_SECONDS])


def test_the_label_beside_an_utterance_is_the_one_that_a_look_at_all_labels_finds(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    utterances = [
        store.add_utterance(tone(0.1, 200 + 50 * number), "file").id for number in range(3)
    ]
    store.add_label(utterances[0], "a", "recognised", 0.9)
    store.add_label(utterances[0], "b", "enrolled")
    store.add_label(utterances[0], "c", "recognised", 0.5)
    store.add_label(utterances[1], "d", "recognised", 0.7)
    store.add_label(utterances[1], "e", "recognised", 0.6)

    def chosen() -> list[tuple]:  # type: ignore[type-arg]
        return store.rows("SELECT utterance, text FROM chosen_labels ORDER BY text")

    assert chosen() == [(utterances[0], "b"), (utterances[1], "e")]
    with store.writing() as connection:
        connection.execute("DELETE FROM labels WHERE text IN ('b', 'd', 'e')")
        connection.execute(
            "UPDATE labels SET confidence = 0.95, utterance = ? WHERE text = 'a'", (utterances[2],)
        )
    assert chosen() == [(utterances[2], "a"), (utterances[0], "c")]
    said_by_first_user(store)
    assert (store.counts(0.9).new_labels, store.counts().unlabelled) == (1, 1)
    store.forget(tmp_path / "audio" / f"{utterances[2]}.flac")
    assert chosen() == [(utterances[0], "c")]
    with pytest.raises(sqlite3.IntegrityError), store.writing() as connection:
        connection.execute(
            "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES ('none',"
            " 'x', 'enrolled', 1, 1)"
        )
    store.close()
