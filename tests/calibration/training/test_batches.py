"""Which samples a step sees: the right number of each kind, nobody left out, lengths alike, the
same again for the same step."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calibration.training.batches import draw_beside, draw_epochs
from calibration.training.samples import Sample

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def make(lengths: list[int]) -> list[Sample]:
    none = torch.zeros(0, dtype=torch.int64)
    return [
        Sample(torch.zeros(size, 1, dtype=torch.float16), torch.tensor([number]), none)
        for number, size in enumerate(lengths)
    ]


def half_as_heavy(samples: list[Sample]) -> list[Sample]:
    return [replace(sample, weight=0.5) for sample in samples]


def numbers(batch: list[Sample]) -> list[int]:
    return [int(sample.tokens[0]) for sample in batch]


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_sees_each_once(lengths: list[int], size: int, seed: int) -> None:
    draw = draw_epochs(make(lengths), size, seed)
    steps = -(-len(lengths) // size)
    for epoch in range(2):
        seen = [number for step in range(steps) for number in numbers(draw(epoch * steps + step))]
        assert sorted(seen) == list(range(len(lengths)))


@given(LENGTHS, LENGTHS, st.integers(0, 1000))
def test_own_and_replayed_are_drawn_in_their_numbers(
    own: list[int], replay: list[int], step: int
) -> None:
    again = [
        Sample(sample.stacked, sample.tokens + 1000, sample.first_pass) for sample in make(replay)
    ]
    drawn = numbers(draw_beside(make(own), 8, again, 4, 0)(step))
    assert len(set(drawn)) == len(drawn), "nobody twice in a step"
    assert sum(number < 1000 for number in drawn) == min(8, len(own))
    assert sum(number >= 1000 for number in drawn) == min(4, len(replay))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30, 200])
def test_everybody_has_a_turn(count: int) -> None:
    draw = draw_beside(make(list(range(1, count + 1))), 8, [], 8, seed=1)
    seen = {number for step in range(40 * max(1, count // 8)) for number in numbers(draw(step))}
    assert seen == set(range(count))


def test_lengths_are_alike_and_draws_repeat() -> None:
    lengths = random.Random(0).choices(range(1, 200), k=400)
    draw = draw_beside(make(lengths), 8, make(lengths), 8, seed=2)
    spreads = []
    for step in range(100):
        own, replayed = draw(step)[:8], draw(step)[8:]
        assert numbers(draw(step)) == numbers([*own, *replayed])
        drawn = [len(sample.stacked) for sample in [*own, *replayed]]
        spreads.append(max(drawn) - min(drawn))
    assert sum(spreads) / len(spreads) < 40, "of 200"


def test_what_weighs_half_is_drawn_half_as_often() -> None:
    samples = make(list(range(1, 401)))
    mixed = [*samples[::2], *half_as_heavy(samples[1::2])]
    beside = draw_beside(mixed, 8, [], 4, seed=3)
    for draw, size in ((beside, 8), (draw_epochs(mixed, 8, seed=3), 0)):
        batches = [draw(step) for step in range(1000)]
        drawn = Counter(number % 2 for batch in batches for number in numbers(batch))
        assert drawn[1] / drawn[0] == pytest.approx(0.5, rel=0.1)
        assert min(map(len, batches)) >= max(1, size), "others take their place where there are any"


@pytest.mark.parametrize("count", [1, 2, 30])
def test_those_that_all_weigh_half_are_still_drawn(count: int) -> None:
    light = half_as_heavy(make(list(range(1, count + 1))))
    for draw in (draw_beside(light, 8, [], 4, seed=4), draw_epochs(light, 8, seed=4)):
        batches = [draw(step) for step in range(200)]
        assert all(batches)
        assert {number for batch in batches for number in numbers(batch)} == set(range(count))
