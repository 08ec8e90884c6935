"""A phrase is known by its recordings, and by nothing else that is said."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration.corpus.demo_speakers import ATYPICAL_VOICE
from calibration.corpus.synthesis import Voice, speak
from engines.errors import AttuneError
from engines.types import SAMPLE_RATE_HZ, Float32
from engines.wake.detector import own_detector, ready_made_detector
from engines.wake.embeddings import EMBEDDING_SIZE
from engines.wake.own_phrase import (
    OwnPhrase,
    Warping,
    check_take,
    learn_phrase,
    read_phrase,
    save_phrase,
    unit,
)

PHRASE = "hello attune"
OTHERS = ("Turn on the kitchen light.", "Hello, how are you?", "What is the time?")
PACES = (110, 118, 125, 132, 140)


def take(text: str, pace: int, name: str = "en-us+m5") -> Float32:
    voice = Voice("espeak-ng", name, pace, 42, ATYPICAL_VOICE.processes)
    return speak(text, voice)


@pytest.fixture(scope="module")
def phrase() -> OwnPhrase:
    return learn_phrase(
        PHRASE, [take(PHRASE, pace) for pace in PACES], [take(text, 125) for text in OTHERS]
    )


def silence(seconds: float) -> Float32:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def naive_distances(stream: Float32, template: Float32) -> list[float]:
    """Subsequence dynamic time warping as the textbook has it, by recursion."""
    costs = 1.0 - unit(stream) @ template.T

    def best(j: int, i: int) -> float:
        if i == 0:
            return float(costs[j, 0])
        before = [best(j, i - 1)] + ([best(j - 1, i), best(j - 1, i - 1)] if j else [])
        return float(costs[j, i]) + min(before)

    return [best(j, len(template) - 1) / len(template) for j in range(len(stream))]


embeddings = arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(EMBEDDING_SIZE)), elements=st.integers(-3, 3)
)


@given(embeddings, st.lists(embeddings, min_size=1, max_size=3))
def test_the_distances_are_those_of_the_textbook(stream: Float32, rows: list[Float32]) -> None:
    templates = [unit(row) for row in rows]
    warping = Warping(templates)
    found = np.concatenate([warping.push(one[None]) for one in stream])
    wanted = np.transpose([naive_distances(stream, template) for template in templates])
    assert found == pytest.approx(wanted, abs=1e-4)


@given(st.lists(embeddings, min_size=2, max_size=3))
def test_streams_beside_each_other_do_not_meet(rows: list[Float32]) -> None:
    templates, streams = [unit(rows[0])], rows[1:]
    length = min(map(len, streams))
    together, alone = Warping(templates, len(streams)), [Warping(templates) for _ in streams]
    for step in range(length):
        found = together.push(np.stack([stream[step] for stream in streams]))
        apart = [one.push(stream[step][None]) for one, stream in zip(alone, streams, strict=True)]
        assert found == pytest.approx(np.concatenate(apart), abs=1e-5)


def test_the_phrase_is_heard_where_it_ends_and_nothing_else_is(phrase: OwnPhrase) -> None:
    detector = own_detector(phrase)
    for text in (*OTHERS, "Good morning.", "Call my sister."):
        assert detector.push(np.concatenate([take(text, 128), silence(0.6)])) is None
    called = take(PHRASE, 121)
    for after in (silence(1.0), take("Turn on the lamp.", 121)):
        heard, pushed = None, 0
        samples = np.concatenate([silence(1.0), called, after])
        while heard is None:
            heard = detector.push(samples[pushed : pushed + 512])
            pushed += 512
        end = 1.0 + len(check_take(called, 1)) / SAMPLE_RATE_HZ
        assert pushed / SAMPLE_RATE_HZ - heard == pytest.approx(end, abs=0.25)


def test_a_kept_phrase_is_the_same(phrase: OwnPhrase, tmp_path: Path) -> None:
    path = tmp_path / "wake" / "own.safetensors"
    save_phrase(phrase, path)
    kept = read_phrase(path)
    assert (kept.text, kept.threshold) == (phrase.text, phrase.threshold)
    for one, other in zip(kept.templates, phrase.templates, strict=True):
        assert np.array_equal(one, other)


def test_a_phrase_that_cannot_be_read_says_what_to_do(phrase: OwnPhrase, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    with pytest.raises(AttuneError, match="no phrase was recorded; run `attune wake record"):
        read_phrase(path)
    save_phrase(phrase, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-7], b"\0" * 50, whole.replace(b"threshold", b"t")):
        path.write_bytes(damaged)
        with pytest.raises(
            AttuneError, match="own.safetensors is damaged.*record the phrase again"
        ):
            read_phrase(path)


@pytest.mark.parametrize(
    ("takes", "others", "problem"),
    [
        ([(PHRASE, 120)] * 2, (), "3 to 10 recordings of the phrase are needed, not 2"),
        (
            [(PHRASE, 120), (PHRASE, 130), ("the weather in the mountains", 125)],
            (),
            "recording 3 is unlike the others",
        ),
        (
            [(PHRASE, 110), (PHRASE, 125), ("a" * 3, 140)],
            (),
            "recording 3 has 0.. s of speech; a phrase takes 0.4 to 3.0 s",
        ),
        (
            [(PHRASE, pace) for pace in PACES],
            (PHRASE,) * 3,
            "other things that are said sound like this phrase",
        ),
    ],
)
def test_recordings_that_make_no_phrase_are_refused(
    takes: list[tuple[str, int]], others: tuple[str, ...], problem: str
) -> None:
    recordings = [take(text, pace) for text, pace in takes]
    recordings = [
        one[: SAMPLE_RATE_HZ // 4] if len(text) == 3 else one
        for one, (text, _) in zip(recordings, takes, strict=True)
    ]
    with pytest.raises(AttuneError, match=problem):
        learn_phrase(PHRASE, recordings, [take(text, 120) for text in others])


def test_who_called_in_vain_before_has_the_same_phrase(phrase: OwnPhrase) -> None:
    others = [take(text, 125) for text in (*OTHERS, PHRASE)]
    again = learn_phrase(PHRASE, [take(PHRASE, pace) for pace in PACES], others)
    assert again.threshold == phrase.threshold


def test_silence_is_no_recording() -> None:
    with pytest.raises(AttuneError, match="recording 2 has 0.0 s of speech"):
        check_take(silence(1.0), 2)
    with pytest.raises(AttuneError, match="recording 1 has 0.0 s of speech"):
        check_take(silence(0.0), 1)


def test_a_ready_made_word_is_heard() -> None:
    detector = ready_made_detector("hey_jarvis")
    said = speak("hey jarvis", Voice("espeak-ng", "en-us", 150))
    other = speak("turn on the kitchen light", Voice("espeak-ng", "en-us", 150))
    assert detector.push(np.concatenate([other, silence(1.0)])) is None
    heard = detector.push(np.concatenate([silence(1.0), said, silence(1.0)]))
    assert heard is not None
    detector.forget()
    assert detector.push(np.concatenate([other, silence(1.0)])) is None, "and not once more"
    with pytest.raises(AttuneError, match="no wake word is called 'computer'"):
        ready_made_detector("computer")
