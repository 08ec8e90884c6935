"""Both routes behind one interface, and what was heard put into words."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from engines.alignment.confidence import Confidence, Fit
from engines.alignment.decoder import open_decoder
from engines.alignment.nbest import SearchBounds
from engines.alignment.projector import OnnxProjector
from engines.alignment.rescoring import Feature
from engines.interfaces import Step, unwatched
from engines.llm.vocabulary import Vocabulary
from engines.routes import AlignedRoute, CascadeRoute, Route, all_words_of, words_of
from engines.types import SoftTokens, Transcript
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.first_pass import FirstPassDecoder
from engines.whisper.recogniser import Recogniser
from engines.whisper.transcriber import WhisperTranscriber
from engines.whisper.transcript_confidence import TranscriptConfidence
from tests.support.audio_fixtures import flite, noise, prompt, tone


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def projector(untrained_generations: Path) -> OnnxProjector:
    return OnnxProjector(untrained_generations / "0000" / "projector.onnx", threads=1)


@pytest.fixture(scope="module")
def reads_first_pass(first_pass_projector: Path) -> OnnxProjector:
    return OnnxProjector(first_pass_projector / "projector.onnx", threads=1)


@pytest.fixture(scope="module")
def aligned(
    encoder_path: Path, whisper_folder: Path, projector: OnnxProjector, vocabulary: Vocabulary
) -> AlignedRoute:
    encoder = OnnxEncoder(encoder_path, 1)
    windows = WhisperTranscriber(whisper_folder, 1).windows
    return AlignedRoute(
        Recogniser(encoder, FirstPassDecoder(windows, encoder)),
        cache(partial(open_decoder, projector, vocabulary, None, evenly, 2)),
    )


def test_the_aligned_route_hears_tokens_that_it_knows(
    aligned: AlignedRoute, vocabulary: Vocabulary, general_speech: Path
) -> None:
    route: Route = aligned
    heard = route.hear(prompt(general_speech, "agent-newlocation"))
    assert isinstance(heard, SoftTokens)
    assert heard.vectors.shape[1] == vocabulary.width
    # The first word may take more tokens as written.
    assert 0 <= len(heard.vectors) - max(1, round(heard.quantity)) <= 2
    assert len(heard.log_probabilities or ()) == len(heard.vectors)
    assert (heard.confidence, heard.sure) == (None, True)
    assert route.name == "aligned"


def evenly(sentences: Sequence[tuple[int, ...]], _step: Step = unwatched, /) -> list[float]:
    """A language model to which all sentences are alike."""
    return [0.0] * len(sentences)


def always(probability: float, threshold: float = 0.5) -> Confidence:
    """Says `probability` of whatever one pass shows."""
    offset = float(np.log(probability / (1 - probability)))
    return Confidence(
        alone=Fit(token_offset=0, token_slope=0, offset=offset, weights=(0, 0, 0)),
        threshold=threshold,
    )


def rescoring(probability: float, **weights: float) -> Confidence:
    """Doubts every pass, and says `probability` of the best sentence by features that count as much
    as `weights` say."""
    fit = always(probability).alone.model_copy(update={"weights": (0.0,) * 6})
    counted = tuple(weights.get(feature.name.lower(), 0.0) for feature in Feature)
    return always(0.4).model_copy(update={"rescored": fit, "rescoring_weights": counted})


def test_a_doubtful_reading_gives_way_to_the_cascade_where_that_is_wanted(
    aligned: AlignedRoute, general_speech: Path
) -> None:
    spoken = prompt(general_speech, "agent-newlocation")
    doubtful = replace(
        aligned,
        decoder=partial(replace, aligned.decoder(), confidence=always(0.4)),
        unsure_takes_cascade=True,
    )
    from_cascade = doubtful.hear(spoken)
    assert isinstance(from_cascade, Transcript)
    assert len(from_cascade.text.split()) >= 3
    assert from_cascade == doubtful.recogniser.transcribe(spoken)
    assert from_cascade.sure
    assert from_cascade.confidence is None
    unsure = TranscriptConfidence(offset=-9.0, slope=1.0, threshold=0.5)
    twice = replace(doubtful, transcript_confidence=unsure).hear(spoken)
    assert isinstance(twice, Transcript)
    assert twice.text == from_cascade.text
    assert not twice.sure
    sure = replace(
        doubtful, decoder=partial(replace, aligned.decoder(), confidence=always(0.6))
    ).hear(spoken)
    assert isinstance(sure, SoftTokens)
    assert sure.sure
    kept = replace(doubtful, unsure_takes_cascade=False).hear(spoken)
    assert isinstance(kept, SoftTokens)
    assert not kept.sure
    assert kept.confidence == pytest.approx(0.4)


def test_nothing_is_understood_where_nobody_speaks(
    aligned: AlignedRoute, vocabulary: Vocabulary
) -> None:
    for samples in (
        noise(4.0, 0.1),
        tone(5.0, 1000.0),
        np.full(1, 0.5, np.float32),
        np.zeros(0, np.float32),
    ):
        for route in (aligned, replace(aligned, unsure_takes_cascade=True)):
            heard = route.hear(samples)
            assert isinstance(heard, SoftTokens)
            assert (len(heard.vectors), heard.confidence, words_of(heard, vocabulary)) == (
                0,
                None,
                "",
            )


def test_a_long_utterance_is_read_piece_by_piece_with_steps_between(
    aligned: AlignedRoute, vocabulary: Vocabulary
) -> None:
    said = flite("Turn on the light in the kitchen, please, and then open the window.")
    long = np.concatenate([said, noise(0.6, 0.001)] * 5)
    decoder = replace(aligned.decoder(), confidence=rescoring(0.9, alone=1.0))
    route = replace(aligned, decoder=lambda: decoder)
    pieces = route.cutter.cut(long)
    assert 2 <= len(pieces) <= 5
    steps: list[int] = []
    heard = route.hear(long, lambda: steps.append(1))
    assert isinstance(heard, SoftTokens)
    assert len(steps) >= 5 * len(pieces)
    one_by_one = [route.hear(piece) for piece in pieces]
    letters = ["".join(words_of(piece, vocabulary).lower().split()) for piece in one_by_one]
    assert "".join(words_of(heard, vocabulary).lower().split()) == "".join(letters)
    assert heard.confidence == pytest.approx(0.9)
    assert len(heard.log_probabilities or ()) == len(heard.confidences or ()) == len(heard.vectors)
    unsure = replace(
        route,
        decoder=lambda: replace(decoder, confidence=always(0.4)),
        unsure_takes_cascade=True,
    )
    assert "window" in str(unsure.hear(long))

    def leave() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        route.hear(long, leave)


def test_a_search_that_takes_too_long_ends_with_the_best_so_far(aligned: AlignedRoute) -> None:
    asked = []

    def scorer(sentences: Sequence[tuple[int, ...]], step: Step = unwatched, /) -> list[float]:
        asked.append(len(sentences))
        step()
        raise AssertionError("the time was over")

    frames = aligned.recogniser.encoder.encode(flite("Turn on the light in the kitchen."))
    decoder = replace(
        aligned.decoder(),
        confidence=rescoring(0.9, alone=1.0, language=1.0, tokens=-5.0),
        scorer=scorer,
    )
    hurried = decoder.read(frames, lambda: Transcript(""), SearchBounds(until=0.0))
    assert asked == []
    calm = replace(decoder, scorer=evenly, confidence=rescoring(0.9, alone=1.0))
    assert (
        hurried.tokens == calm.read(frames, lambda: Transcript(""), SearchBounds(until=0.0)).tokens
    )


def test_expected_embeddings_are_read_as_spoken_and_told_as_written(
    aligned: AlignedRoute, vocabulary: Vocabulary, general_speech: Path
) -> None:
    """Of one pass, of a whole n-best list, and where nothing was fitted."""
    spoken = prompt(general_speech, "agent-newlocation")
    for confidence, most_apart in ((None, 1), (always(0.9), 1), (rescoring(0.9, alone=1.0), 8)):
        decoder = replace(aligned.decoder(), confidence=confidence)
        rows, expected = (
            replace(aligned, decoder=partial(replace, decoder, output=some)).hear(spoken)
            for some in ("rows", "expected_embeddings")
        )
        assert isinstance(rows, SoftTokens)
        assert isinstance(expected, SoftTokens)
        assert words_of(expected, vocabulary) == words_of(rows, vocabulary)
        assert (expected.tokens, expected.confidence) == (rows.tokens, rows.confidence)
        # A sentence that was rescored may be of any length.
        assert abs(len(expected.vectors) - expected.quantity) <= most_apart
        assert not np.array_equal(expected.vectors, rows.vectors)


def test_a_first_pass_is_made_only_where_the_frames_alone_leave_doubt(
    aligned: AlignedRoute,
    reads_first_pass: OnnxProjector,
    vocabulary: Vocabulary,
    general_speech: Path,
) -> None:
    frames = aligned.recogniser.encoder.encode(prompt(general_speech, "agent-newlocation"))
    decoder = open_decoder(reads_first_pass, vocabulary, always(0.6), evenly, 1)
    asked: list[str] = []

    def first_pass() -> Transcript:
        asked.append("asked")
        return Transcript("Turn on the light.", math.log(0.8), 1)

    assert decoder.read(frames, first_pass).sure
    assert not asked
    doubted = replace(decoder, confidence=always(0.4)).read(frames, first_pass)
    assert not asked  # nothing was fitted that could make use of it
    assert doubted.confidence == pytest.approx(0.4)
    replace(decoder, confidence=None).read(frames, first_pass)
    assert asked == ["asked"]
    taken = replace(decoder, confidence=rescoring(0.7, from_first_pass=9.0)).read(
        frames, first_pass
    )
    assert asked == ["asked"] * 2
    assert words_of(taken, vocabulary) == "Turn on the light."
    assert taken.sure
    assert taken.confidence == pytest.approx(0.7)
    assert taken.tokens == tuple(vocabulary.tokenize("Turn on the light."))
    assert np.array_equal(taken.vectors, vocabulary.rows(taken.tokens))
    assert len(taken.log_probabilities or ()) == len(taken.confidences or ()) == len(taken.tokens)


def test_of_all_hypotheses_the_one_is_read_that_the_witnesses_favour(
    aligned: AlignedRoute,
    reads_first_pass: OnnxProjector,
    vocabulary: Vocabulary,
    general_speech: Path,
) -> None:
    """Of what an untrained projector says, the language model here likes whatever ends in "
    kitchen" best."""
    frames = aligned.recogniser.encoder.encode(prompt(general_speech, "agent-newlocation"))
    kitchen = vocabulary.tokenize(" kitchen")[0]
    judged: list[tuple[int, ...]] = []

    def scorer(sentences: Sequence[tuple[int, ...]], _step: Step = unwatched, /) -> list[float]:
        judged.extend(sentences)
        return [float(20 * (sentence[-1] == kitchen)) for sentence in sentences]

    decoder = open_decoder(reads_first_pass, vocabulary, rescoring(0.3, language=1.0), scorer, 1)
    for first_pass in ("Turn on the light.", " "):
        read = decoder.read(frames, partial(Transcript, first_pass, math.log(0.5), 1))
        assert (read.tokens or ())[-1] == kitchen
        assert not read.sure
        assert read.confidence == pytest.approx(0.3)
    passes = decoder.passes(frames)
    heard = len(passes.alone.tokens or ())
    assert {heard - 1, heard, heard + 1} <= {len(sentence) for sentence in passes.sentences((), 1)}
    judged.clear()
    replace(decoder, confidence=rescoring(0.3, alone=1e6)).read(frames, lambda: Transcript(""))
    assert not judged  # one sentence is so far ahead that nobody is asked


def test_a_first_pass_that_goes_on_and_on_is_no_hypothesis(
    aligned: AlignedRoute,
    reads_first_pass: OnnxProjector,
    vocabulary: Vocabulary,
    general_speech: Path,
) -> None:
    frames = aligned.recogniser.encoder.encode(prompt(general_speech, "agent-newlocation"))
    decoder = open_decoder(
        reads_first_pass, vocabulary, rescoring(0.7, from_first_pass=9.0), evenly, 1
    )
    read = decoder.read(frames, lambda: Transcript("Turn on the light. " * 60, math.log(0.9), 1))
    assert 0 < len(read.tokens or ()) < 60


def test_the_cascade_hears_a_transcript(whisper_folder: Path, general_speech: Path) -> None:
    route: Route = CascadeRoute(WhisperTranscriber(whisper_folder, 1))
    heard = route.hear(prompt(general_speech, "agent-newlocation"))
    assert isinstance(heard, Transcript)
    assert len(heard.text.split()) >= 3
    assert route.name == "cascade"


def test_words_of_many_are_the_words_of_each(vocabulary: Vocabulary) -> None:
    soft = [
        SoftTokens(vocabulary.rows(vocabulary.tokenize(text)), 1.0)
        for text in ("Call Robert.", " Close the curtains. ")
    ]
    heard: list[str | Transcript | SoftTokens] = [
        Transcript("a transcript"),
        soft[0],
        "",
        soft[1],
    ]
    assert all_words_of(heard, vocabulary) == [
        "a transcript",
        "Call Robert.",
        "",
        "Close the curtains.",
    ]
    assert [words_of(words, vocabulary) for words in heard] == all_words_of(heard, vocabulary)
    assert words_of(SoftTokens(np.zeros((0, vocabulary.width), np.float32), 0.0), vocabulary) == ""
