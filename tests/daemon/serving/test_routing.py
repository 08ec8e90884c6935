"""Which route speech takes, and what follows doubt there."""

from pathlib import Path
from typing import Literal

import pytest

from daemon.serving.lease import LoadedRoute
from daemon.serving.routing import choose, load_unserved
from engines.alignment.confidence import Confidence, Fit
from engines.errors import AttuneError
from engines.generations.card import Card, Judgement, Score
from engines.generations.folder import Generation, read_generation, write_generation
from engines.generations.pointers import promote
from engines.routes import CascadeRoute, Route
from engines.types import Transcript
from engines.whisper.transcript_confidence import TranscriptConfidence
from tests.support.fakes import FakeTranscriber, PitchRoute, tone, words_of


def transcriber(_generation: Generation | None) -> FakeTranscriber:
    return FakeTranscriber()


EVEN = Fit(token_offset=0, token_slope=1, offset=0, weights=(1, 0, 0, 0))


IN_DOUBT = TranscriptConfidence(offset=-9.0, slope=1.0, threshold=0.5)


def write(
    generations: Path,
    cascade_error: float,
    confidence: Confidence | None,
    transcript_confidence: TranscriptConfidence | None = None,
) -> None:
    """A generation 0 with a recogniser, whose aligned route hears its user without an error."""
    empty = generations.parent / "empty"
    empty.write_bytes(b"")
    scores = [
        Score(utterances=30, words=200, word_error_rate=rate) for rate in (0.0, 0.5, cascade_error)
    ]
    judged = Judgement(candidate=scores[0], current=scores[1], cascade=scores[2])
    card = Card(
        number=0,
        parent=None,
        created_at="",
        recipe="test",
        holdout=judged,
        confidence=confidence,
        transcript_confidence=transcript_confidence,
    )
    names = ("projector.onnx", "projector.safetensors", "recogniser.safetensors")
    write_generation(generations, 0, card, dict.fromkeys(names, empty))


@pytest.mark.parametrize(
    ("unsure", "cascade_error", "takes_first_pass", "asks_back", "told"),
    [
        ("auto", 0.05, True, False, "uses the cascade"),
        ("auto", 0.60, False, True, "asks the user"),
        ("ask", 0.05, False, True, "asks the user"),
        ("cascade", 0.60, True, False, "uses the cascade"),
        ("answer", 0.60, False, False, "answers anyway"),
    ],
)
def test_what_follows_doubt(
    tmp_path: Path,
    unsure: Literal["auto", "cascade", "ask", "answer"],
    cascade_error: float,
    takes_first_pass: bool,
    asks_back: bool,
    told: str,
) -> None:
    write(tmp_path / "generations", cascade_error, Confidence(alone=EVEN, threshold=0.5))
    opened: list[bool] = []

    def aligned(_: Generation, unsure_takes_cascade: bool) -> Route:
        opened.append(unsure_takes_cascade)
        return PitchRoute("aligned")

    found = choose("aligned", unsure, tmp_path / "generations", transcriber, aligned, words_of)
    assert opened == [takes_first_pass]
    assert found.loaded["aligned"].asks_back == asks_back
    assert found.reason == f"conversation.route is aligned; if in doubt, it {told}"


@pytest.mark.parametrize(
    ("unsure", "asks_back", "told"),
    [
        ("auto", True, "asks the user"),
        ("ask", True, "asks the user"),
        ("cascade", False, "answers anyway"),
        ("answer", False, "answers anyway"),
    ],
)
def test_what_follows_the_cascades_doubt(
    tmp_path: Path,
    unsure: Literal["auto", "cascade", "ask", "answer"],
    asks_back: bool,
    told: str,
) -> None:
    write(tmp_path / "generations", 0.0, None, IN_DOUBT)
    voice = (transcriber, lambda *_: PitchRoute("aligned"), words_of)
    found = choose("auto", unsure, tmp_path / "generations", *voice)
    assert found.route == "cascade", "where both hear equally well, the cheaper one serves"
    assert found.loaded["cascade"].asks_back == asks_back
    assert found.reason.endswith(f"; if in doubt, it {told}")
    assert not found.loaded["cascade"].route.hear(tone(1.0, 300.0)).sure


def test_what_replaces_doubted_words_may_be_in_doubt_itself(tmp_path: Path) -> None:
    write(tmp_path / "generations", 0.05, Confidence(alone=EVEN, threshold=0.5), IN_DOUBT)
    voice = (transcriber, lambda *_: PitchRoute("aligned"), words_of)
    found = choose("auto", "auto", tmp_path / "generations", *voice)
    assert found.route == "aligned"
    assert found.loaded["aligned"].asks_back
    told = "; if in doubt, it uses the cascade, and if that is in doubt, asks the user"
    assert found.reason.endswith(told)
    found = choose("auto", "cascade", tmp_path / "generations", *voice)
    assert not found.loaded["aligned"].asks_back


def test_the_confidence_of_a_recogniser_that_cannot_be_opened_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "generations", 0.0, None, IN_DOUBT)

    def broken(generation: Generation | None) -> FakeTranscriber:
        if generation is not None:
            raise AttuneError("the recogniser is damaged")
        return FakeTranscriber()

    voice = (broken, lambda *_: PitchRoute("aligned"), words_of)
    found = choose("auto", "auto", tmp_path / "generations", *voice)
    assert found.problems == ["the recogniser is damaged"]
    assert not found.loaded["cascade"].asks_back
    assert found.loaded["cascade"].route.hear(tone(1.0, 300.0)).sure


@pytest.mark.parametrize(
    ("wanted", "cascade_error", "expected"),
    [("auto", 0.0, "cascade"), ("auto", 0.6, "aligned"), ("aligned", 0.0, "aligned")],
)
def test_a_generation_in_shadow_hears_on_the_route_that_it_would_have(
    tmp_path: Path,
    wanted: Literal["auto", "cascade", "aligned"],
    cascade_error: float,
    expected: str,
) -> None:
    write(tmp_path / "generations", cascade_error, None, IN_DOUBT)
    generation = read_generation(tmp_path / "generations" / "0000")
    voice = (transcriber, lambda *_: PitchRoute("aligned"), words_of)
    loaded = load_unserved(generation, wanted, "auto", *voice)
    assert loaded.route.name == expected
    assert isinstance(loaded.route, CascadeRoute) == (expected == "cascade")


def test_a_generation_without_a_projector_serves_by_its_recogniser(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"")
    card = Card(number=0, parent=None, created_at="", recipe="test", transcript_confidence=IN_DOUBT)
    generations = tmp_path / "generations"
    generation = write_generation(generations, 0, card, {"recogniser.safetensors": weights})
    voice = (transcriber, lambda *_: PitchRoute("aligned"), words_of)
    found = choose("auto", "auto", generations, *voice)
    assert (found.route, found.generation, found.problems) == ("cascade", 0, [])
    assert found.loaded.keys() == {"cascade"}
    assert found.reason == (
        "there is no projector for the aligned route with this speech model; if in doubt, it asks"
        " the user"
    )
    asked = choose("aligned", "auto", generations, *voice)
    assert asked.route == "cascade"
    [problem] = asked.problems
    assert problem.startswith("conversation.route is aligned, but there is no projector")
    assert load_unserved(generation, "aligned", "auto", *voice).route.name == "cascade"


def test_what_came_with_attune_earns_its_route_where_a_later_round_judged_it(
    tmp_path: Path,
) -> None:
    """A candidate that is no better says, all the same, that what is served hears its user better
    than the cascade does."""
    generations = tmp_path / "generations"
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    files = {"projector.onnx": empty, "projector.safetensors": empty}
    confident = Confidence(alone=EVEN, threshold=0.5)
    write_generation(
        generations,
        0,
        Card(number=0, parent=None, created_at="", recipe="base", confidence=confident),
        files,
    )

    def route() -> tuple[str, bool]:
        voice = (transcriber, lambda *_: PitchRoute("aligned"), words_of)
        found = choose("auto", "auto", generations, *voice)
        return found.route, found.loaded["aligned"].asks_back

    def judge(
        number: int, current: float, cascade: float, parent: int = 0, utterances: int = 30
    ) -> None:
        scores = [
            Score(utterances=utterances, words=200, word_error_rate=rate)
            for rate in (0.9, current, cascade)
        ]
        judged = Judgement(candidate=scores[0], current=scores[1], cascade=scores[2])
        write_generation(
            generations,
            number,
            Card(number=number, parent=parent, created_at="", recipe="t", holdout=judged),
            files,
        )

    assert route() == ("cascade", False)
    judge(1, current=0.1, cascade=0.05)
    assert route() == ("cascade", False)
    judge(2, current=0.1, cascade=0.5)
    assert route() == ("aligned", True)
    judge(3, current=0.9, cascade=0.1, parent=2)
    judge(4, current=0.9, cascade=0.1, utterances=2)
    assert route() == ("aligned", True), "neither of another generation nor of too few utterances"
    judge(5, current=0.3, cascade=0.1)
    assert route() == ("cascade", False)


def test_without_confidence_nothing_is_said_of_doubt(tmp_path: Path) -> None:
    write(tmp_path / "generations", 0.6, None)
    found = choose(
        "auto",
        "auto",
        tmp_path / "generations",
        transcriber,
        lambda *_: PitchRoute("aligned"),
        words_of,
    )
    assert found.route == "aligned"
    assert "doubts" not in found.reason


def test_what_cannot_be_opened_leaves_the_cascade(tmp_path: Path) -> None:
    write(tmp_path / "generations", 0.6, None)

    def aligned(_: Generation, _unsure: bool) -> Route:
        raise AttuneError("no encoder")

    found = choose("aligned", "auto", tmp_path / "generations", transcriber, aligned, words_of)
    assert (found.route, found.problems, found.generation) == ("cascade", ["no encoder"], None)


def test_a_distilled_generation_is_heard_through_its_adapter(tmp_path: Path) -> None:
    generations = tmp_path / "generations"
    write(generations, 0.6, None)
    empty = tmp_path / "empty"
    card = Card(number=1, parent=0, created_at="", recipe="test")
    names = (
        "projector.onnx",
        "projector.safetensors",
        "adapter.gguf",
        "adapter/adapter_model.safetensors",
    )
    distilled = write_generation(generations, 1, card, dict.fromkeys(names, empty))
    assert distilled.adapter_weights == generations / "0001" / "adapter"
    for number, adapter in ((0, None), (1, generations / "0001" / "adapter.gguf")):
        promote(generations, number)
        chosen = choose(
            "aligned", "auto", generations, transcriber, lambda *_: PitchRoute("aligned"), words_of
        )
        assert chosen.loaded["aligned"].adapter == adapter


class _Opened(PitchRoute):
    def __init__(self) -> None:
        super().__init__("aligned")
        self.is_open = False

    def ready(self) -> None:
        self.is_open = True


@pytest.mark.parametrize("route", ["cascade", "aligned"])
def test_a_route_that_does_not_serve_can_be_asked_for_but_is_not_opened(
    tmp_path: Path, route: Literal["cascade", "aligned"]
) -> None:
    write(tmp_path / "generations", 0.6, None)
    aligned = _Opened()
    found = choose(
        route, "auto", tmp_path / "generations", transcriber, lambda *_: aligned, words_of
    )
    assert found.loaded["aligned"].route is aligned
    assert found.route == route
    assert aligned.is_open == (route == "aligned")


def test_whoever_wants_to_compare_hears_as_before(tmp_path: Path) -> None:
    generations, opened = tmp_path / "generations", []

    def opens(generation: Generation | None) -> FakeTranscriber:
        opened.append(generation.number if generation is not None else None)
        return FakeTranscriber()

    def found() -> dict[str, LoadedRoute]:
        aligned = PitchRoute("aligned")
        chosen = choose("auto", "auto", generations, opens, lambda *_: aligned, words_of)
        opened.clear()
        return chosen.compared

    assert found().keys() == {"base"}
    write(generations, 0.0, None, IN_DOUBT)
    empty = tmp_path / "empty"
    card = read_generation(generations / "0000").card.model_copy(update={"number": 1, "parent": 0})
    names = ("projector.onnx", "projector.safetensors", "recogniser.safetensors")
    write_generation(generations, 1, card, dict.fromkeys(names, empty))
    promote(generations, 0)
    promote(generations, 1)
    routes = found()
    assert routes.keys() == {"base", "previous"}
    for name, number in (("previous", 0), ("base", None)):
        for _ in range(2):
            heard = routes[name].route.hear(tone(1.0, 300.0))
            assert isinstance(heard, Transcript)
            assert heard.text == "a tone of 300"
        assert opened == [number], "opened once, when it is used first"
        opened.clear()
    assert routes["previous"].asks_back
    assert not routes["base"].asks_back
    (generations / "0000" / "recogniser.safetensors").write_bytes(b"damage")
    assert found().keys() == {"base"}
