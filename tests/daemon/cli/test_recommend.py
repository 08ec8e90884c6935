"""`attune engines recommend`: which of several measured speech models it recommends, and why the
others are left out."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from daemon.cli.recommend import (
    LEAST_OWN,
    LONGEST_SECONDS,
    SAME_ERROR,
    Candidate,
    best_of,
    candidates_sheet,
)
from daemon.training.memory_plan import Plan, PlannedStage
from engines.jobs.speech_models import Misheard, SpeechModel, SpeechModelFigures

PLAN = Plan((PlannedStage("train", 900 << 20, 1 << 30, 300.0),), 2 << 30, 1, False, True)
REFUSED = replace(PLAN, refusal="it needs at least budget.bytes = 1")


def misheard(per_cent: float, utterances: int = 24) -> Misheard:
    return Misheard(utterances=utterances, words=1000, wrong=round(10 * per_cent))


def candidate(
    name: str,
    general: float,
    own: float | None = None,
    own_utterances: int = 24,
    seconds: float = 0.5,
    plan: Plan | None = PLAN,
    in_use: bool = False,
) -> Candidate:
    figures = SpeechModelFigures(
        model=SpeechModel(name=name, whisper=Path(name)),
        seconds=seconds,
        size_bytes=400 << 20,
        general=misheard(general),
        own=misheard(own, own_utterances) if own is not None else None,
    )
    return Candidate(figures, plan, in_use)


def test_the_users_own_recordings_count_once_there_are_enough() -> None:
    clear = candidate("clear", general=3.0, own=40.0)
    personal = candidate("personal", general=6.0, own=2.0)
    assert best_of([clear, personal]) is personal
    few = [
        candidate("clear", general=3.0, own=40.0, own_utterances=LEAST_OWN - 1),
        candidate("personal", general=6.0, own=2.0, own_utterances=LEAST_OWN - 1),
    ]
    assert best_of(few) is few[0]


def test_few_own_recordings_count_where_there_are_no_others() -> None:
    one = candidate("one", general=9.0, own=5.0, own_utterances=2)
    alone = replace(one, figures=one.figures.model_copy(update={"general": None}))
    assert alone.error == 0.05
    assert best_of([alone]) is alone
    nothing = replace(one, figures=alone.figures.model_copy(update={"own": None}))
    assert nothing.error is None
    assert best_of([nothing]) is None


def test_a_change_has_to_be_worth_a_point() -> None:
    used = candidate("used", general=4.5, in_use=True)
    assert best_of([candidate("larger", general=3.6), used]) is used
    better = candidate("larger", general=3.4)
    assert best_of([better, used]) is better
    quicker = candidate("quicker", general=3.9, seconds=0.3)
    assert best_of([better, quicker]) is quicker


def test_what_is_slow_or_fits_no_round_is_left_out_and_the_reason_is_told() -> None:
    slow = candidate("slow", general=1.0, seconds=LONGEST_SECONDS + 0.1)
    large = candidate("large", general=1.0, plan=REFUSED)
    unmeasured = candidate("unmeasured", general=1.0, plan=None)
    able = candidate("able", general=9.0)
    assert best_of([slow, large, unmeasured, able]) is able
    assert best_of([slow, large, unmeasured]) is None
    assert "1.5 s" in slow.obstacle
    assert large.obstacle == REFUSED.refusal
    assert "attune calibrate memory --whisper unmeasured" in unmeasured.obstacle


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0.05, 3.0), st.sampled_from([PLAN, REFUSED, None])),
        max_size=6,
    )
)
def test_nothing_that_serves_hears_more_than_a_point_better(
    drawn: list[tuple[float, float, Plan | None]],
) -> None:
    all_of_them = [
        candidate(str(place), general=error, seconds=seconds, plan=plan)
        for place, (error, seconds, plan) in enumerate(drawn)
    ]
    best = best_of(all_of_them)
    able = [one for one in all_of_them if not one.obstacle]
    assert (best is None) == (not able)
    if best is not None:
        assert best in able
        assert best.error is not None
        assert all(
            one.error is not None and best.error <= one.error + SAME_ERROR + 1e-9 for one in able
        )


def test_the_table_fits_eighty_columns() -> None:
    console = Console(width=80, record=True)
    rows = [
        candidate("whisper-tiny.en", general=4.6, own=66.8),
        candidate("a-model-of-ones-own-with-a-name", general=3.6, plan=None),
    ]
    console.print(candidates_sheet(rows))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "66.8 %" in text
    assert "5 min, 1.00 GiB" in " ".join(text.split())
    assert "you" in text
    without = candidates_sheet([candidate("whisper-tiny.en", general=4.6)])
    assert "you" not in without.headings
