"""What a round learns from and is judged by: bounded by how long it trains, and the same for the
same store."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.store.records import Round
from daemon.store.store import Store, is_holdout
from daemon.training.round_examples import round_examples
from daemon.training.selection import (
    JUDGED,
    LEAST_LEARNT,
    MOST_LEARNT,
    MOST_LEARNT_SECONDS,
    RECOGNISED_JUDGED,
    Bound,
    Bounds,
    bounds_of,
    by_turns,
    spread,
    within,
)
from engines.jobs.messages import Example, Origin

TEXTS = st.lists(st.sampled_from(["on", "ON", "off", "dim the light", "stop"]), max_size=40)


@given(st.floats(0.1, 1e6))
def test_bounds_follow_from_training_up_to_what_memory_holds(training_seconds: float) -> None:
    learnt = bounds_of(training_seconds).learnt
    assert LEAST_LEARNT <= learnt.utterances <= MOST_LEARNT
    assert learnt.seconds <= MOST_LEARNT_SECONDS
    assert learnt.utterances <= max(LEAST_LEARNT, 4 * training_seconds + 1)


@given(TEXTS)
def test_every_text_comes_once_before_any_comes_again(texts: list[str]) -> None:
    said = list(enumerate(texts))
    found = spread(said, lambda one: one[1])
    assert sorted(found) == said
    seen: Counter[str] = Counter()
    times = []
    for _, text in found:
        seen[text.casefold()] += 1
        times.append(seen[text.casefold()])
    assert times == sorted(times)


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_by_turns_takes_all_of_both(first: list[int], second: list[int]) -> None:
    found = list(by_turns(first, second))
    assert Counter(found) == Counter(first + second)
    both = min(len(first), len(second))
    assert found[: 2 * both] == [one for pair in zip(first, second, strict=False) for one in pair]


@given(
    st.lists(st.tuples(st.floats(0.1, 30.0), st.booleans())),
    st.integers(1, 10),
    st.floats(1.0, 100.0),
)
def test_what_is_taken_stays_within_its_bound(
    lengths: list[tuple[float, bool]], most: int, seconds: float
) -> None:
    taken = within(lengths, Bound(most, seconds), lambda one: one[0], lambda one: one[1])
    assert all(usable for _, usable in taken)
    assert len(taken) <= most
    assert len(taken) <= 1 or sum(length for length, _ in taken) <= seconds
    assert bool(taken) == any(usable for _, usable in lengths)


class House:
    """A store whose audio is empty files, filled in bulk."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self._numbers = itertools.count(1)

    def say(
        self, count: int, origin: Origin, text: str = "number {}", seconds: float = 4.0
    ) -> list[str]:
        """So many utterances of different texts; returns their ids, which stand for the hashes of
        their audio."""
        numbers = [next(self._numbers) for _ in range(count)]
        ids = [f"{(number * 2654435761) % 2**32:08x}{number:024x}" for number in numbers]
        with self.store.writing() as connection:
            rows = [(one, 0.0, seconds, "file", f"{one}.flac", is_holdout(one)) for one in ids]
            columns = "(id, created_at, seconds, source, audio, holdout, service_at, user, user_by)"
            connection.executemany(
                f"INSERT INTO utterances {columns} VALUES (?, ?, ?, ?, ?, ?, 0.0, 1, 'voice')", rows
            )
            labels = [
                (one, text.format(number), origin, 0.9)
                for one, number in zip(ids, numbers, strict=True)
            ]
            statement = (
                "INSERT INTO labels (utterance, text, origin, confidence, created_at) VALUES (?, ?,"
                " ?, ?, 0.0)"
            )
            connection.executemany(statement, labels)
        for one in ids:
            (self.store.audio_folder / f"{one}.flac").touch()
        return ids

    def finish_a_round(self) -> None:
        self.store.history.add_round(
            Round(0.0, 1.0, 1, "refused", "", self.store.counts().last_label)
        )

    def examples(self, training_seconds: float = 30.0) -> list[Example]:
        return round_examples(self.store, bounds_of(training_seconds), 0.85)[0]

    def learnt(self, training_seconds: float = 30.0) -> set[str]:
        return {example.id for example in self.examples(training_seconds) if not example.holdout}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("said", [100, 2000, 5000])
def test_a_round_is_no_larger_for_a_larger_store(house: House, said: int) -> None:
    house.say(said, "enrolled")
    house.say(said, "recognised")
    found = house.examples(training_seconds=30.0)
    learnt = [example for example in found if not example.holdout]
    judged = Counter(example.origin != "recognised" for example in found if example.holdout)
    assert len(learnt) == min(120, len([one for one in found if not one.holdout]))
    assert judged[True] <= JUDGED
    assert judged[False] <= RECOGNISED_JUDGED
    assert said == 100 or (len(learnt), judged[True], judged[False]) == (
        120,
        JUDGED,
        RECOGNISED_JUDGED,
    )
    assert house.examples(training_seconds=30.0) == found, "the same store gives the same part"
    assert [example.id for example in found] == sorted(example.id for example in found)


def test_everything_is_taken_while_it_is_little(house: House) -> None:
    ids = house.say(60, "enrolled")
    assert {example.id for example in house.examples()} == set(ids)


def test_long_utterances_are_fewer(house: House) -> None:
    house.say(1000, "enrolled", seconds=29.0)
    found = house.examples(training_seconds=30.0)
    assert sum(example.seconds for example in found if not example.holdout) <= 600.0
    assert sum(example.seconds for example in found if example.holdout) <= 640.0


def test_what_is_new_is_learnt_beside_what_is_old(house: House) -> None:
    old = set(house.say(1000, "enrolled"))
    house.finish_a_round()
    before = house.learnt()
    new = {one for one in house.say(40, "recognised") if not is_holdout(one)}
    found = house.learnt()
    assert new <= found, "all of it, where there is room"
    assert found - new <= before, "and of the old what was learnt before"
    more = house.say(1000, "recognised")
    flooded = house.learnt()
    assert len(flooded & old) == 60, "half of the round, however much is new"
    assert flooded - old <= set(more[-100:]), "of the new the newest"


def test_confirmed_texts_come_before_recognised_ones(house: House) -> None:
    recognised = house.say(500, "recognised")
    corrected, enrolled = house.say(60, "corrected"), house.say(60, "enrolled")
    found = house.learnt()
    assert {one for one in (*corrected, *enrolled) if not is_holdout(one)} <= found
    assert found & set(recognised), "which fill what is left"


def test_a_correction_takes_the_place_of_what_was_recognised(house: House) -> None:
    one = next(one for one in house.say(20, "recognised") if not is_holdout(one))
    house.store.add_label(one, "what I really said", "corrected")
    house.store.add_label(one, "heard anew", "recognised", 0.99)
    [found] = [example for example in house.examples() if example.id == one]
    assert (found.text, found.origin) == ("what I really said", "corrected")


def test_texts_are_spread(house: House) -> None:
    house.say(300, "enrolled", "again and again")
    once = {one for one in house.say(100, "enrolled") if not is_holdout(one)}
    assert once <= house.learnt()


def test_no_text_is_learnt_and_judged_by(house: House) -> None:
    house.say(200, "enrolled")
    for word in ("often", "daily"):
        house.say(60, "enrolled", word)
    pair = house.say(100, "enrolled")
    with house.store.writing() as connection:  # each text twice, some of them once on either side
        for one, other in zip(pair[::2], pair[1::2], strict=True):
            connection.execute(
                "UPDATE labels SET text = ? WHERE utterance IN (?, ?)",
                (f"pair {one[:4]}", one, other),
            )
    sides = [
        {example.text for example in house.examples() if example.holdout is side}
        for side in (True, False)
    ]
    assert not sides[0] & sides[1]
    assert {"often", "daily"} <= sides[1]


@pytest.mark.parametrize("said", [100, 1000, 5000])
def test_who_always_asks_for_the_same_is_learnt_and_judged_by_that(house: House, said: int) -> None:
    for word in ("on", "off", "up", "down", "stop"):
        house.say(said // 5, "enrolled", word)
    found = Counter(example.holdout for example in house.examples(training_seconds=20.0))
    assert found[False] == min(80, said - found[True])
    assert found[True] >= 8


def test_where_every_text_would_judge_they_are_learnt_too(house: House) -> None:
    ids = house.say(16, "enrolled")
    held_out = [one for one in ids if is_holdout(one)]
    others = [one for one in ids if not is_holdout(one)]
    with house.store.writing() as connection:
        connection.execute("UPDATE labels SET text = 'yes'")
        for one in others[2:]:
            connection.execute("DELETE FROM utterances WHERE id = ?", (one,))
    assert held_out
    assert {example.id for example in house.examples()} == {*held_out, *others[:2]}


def test_what_judges_stays_while_the_store_grows(house: House) -> None:
    house.say(2000, "enrolled")
    before = {example.id for example in house.examples() if example.holdout}
    house.say(200, "corrected")
    after = {example.id for example in house.examples() if example.holdout}
    assert len(before & after) > 0.75 * JUDGED


def test_doubtful_labels_and_lost_audio_are_passed_over(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    ids = house.say(1000, "enrolled")
    lost = [one for one in ids if not is_holdout(one)][-100:]
    for one in lost:
        (house.store.audio_folder / f"{one}.flac").unlink()
    with house.store.writing() as connection:
        connection.execute(
            "UPDATE labels SET origin = 'recognised', confidence = 0.5 WHERE utterance > ?",
            (sorted(ids)[500],),
        )
    found = house.examples()
    assert not {example.id for example in found} & set(lost)
    assert all(example.origin == "enrolled" for example in found)
    assert "is gone from" in caplog.text


def test_bounds_are_those_of_the_documentation() -> None:
    assert bounds_of(180.0) == Bounds(Bound(720, 3600.0))
