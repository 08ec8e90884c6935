"""Transcripts of real speech, none of silence, and one line for every damaged model."""

from pathlib import Path

import numpy as np
import pytest

from calibration.evaluation.text_scores import word_error_rate
from engines.audio.recordings import read_audio
from engines.errors import AttuneError
from engines.models.general_speech import read_prompts, retention_set
from engines.types import SAMPLE_RATE_HZ
from engines.whisper.encoder_onnx import OnnxEncoder
from engines.whisper.first_pass import FirstPassDecoder
from engines.whisper.recogniser import Recogniser
from engines.whisper.transcriber import WhisperTranscriber
from tests.support.audio_fixtures import flite, noise, prompt, tone


@pytest.fixture(scope="module")
def transcriber(whisper_folder: Path) -> WhisperTranscriber:
    return WhisperTranscriber(whisper_folder, threads=2)


@pytest.fixture
def damaged(whisper_folder: Path, tmp_path: Path) -> Path:
    """A folder of links to the model's files, for a test to break one."""
    for path in whisper_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_real_speech(general_speech: Path, transcriber: WhisperTranscriber) -> None:
    transcript = transcriber.transcribe(prompt(general_speech, "agent-alreadyon"))
    assert transcript.text.lower().startswith("that agent is already logged on")
    assert 0.7 < transcript.mean_probability <= 1.0


@pytest.mark.parametrize("count", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_first_pass_from_trimmed_frames_is_about_as_good_as_the_padded_window(
    general_speech: Path, transcriber: WhisperTranscriber, encoder_path: Path, count: int
) -> None:
    encoder = OnnxEncoder(encoder_path, threads=2)
    first_pass_decoder = FirstPassDecoder(transcriber.windows, encoder)
    prompts = retention_set(read_prompts(general_speech))[:count]
    spoken = [read_audio(one.audio) for one in prompts]
    first_passes = [first_pass_decoder.decode(encoder.encode(samples)) for samples in spoken]
    padded = [transcriber.transcribe(samples).text for samples in spoken]
    texts = [one.text for one in prompts]
    first_pass_error = word_error_rate(
        list(zip(texts, [first_pass.text for first_pass in first_passes], strict=True))
    )[0]
    assert first_pass_error <= word_error_rate(list(zip(texts, padded, strict=True)))[0] + 0.05
    assert all(0 < first_pass.mean_probability <= 1 for first_pass in first_passes)


def test_a_first_pass_of_nothing_ends(transcriber: WhisperTranscriber, encoder_path: Path) -> None:
    encoder = OnnxEncoder(encoder_path, threads=2)
    first_pass_decoder = FirstPassDecoder(transcriber.windows, encoder)
    for samples in (np.zeros(3200, np.float32), noise(1.0, 0.1), noise(29.5, 0.1)):
        assert len(first_pass_decoder.decode(encoder.encode(samples)).text) < 2000


def test_words_have_their_times(
    transcriber: WhisperTranscriber, encoder_path: Path, general_speech: Path
) -> None:
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    first = prompt(general_speech, "agent-alreadyon")
    second = prompt(general_speech, "agent-incorrect")
    spoken = np.concatenate([pause, first, pause, second])
    text = " ".join(transcriber.transcribe(one).text for one in (first, second))
    encoder = OnnxEncoder(encoder_path, threads=2)
    own = Recogniser(encoder, FirstPassDecoder(transcriber.windows, encoder))
    for words in (transcriber.timed(spoken, text), own.timed(spoken, text)):
        assert [word.text for word in words] == text.split()
        times = [second for word in words for second in (word.start_seconds, word.end_seconds)]
        assert times == sorted(times)
        assert times[-1] <= len(spoken) / SAMPLE_RATE_HZ
        begun = 2 + len(first) / SAMPLE_RATE_HZ
        # The pause belongs to the word before it, or to the one after.
        place = len(transcriber.transcribe(first).text.split())
        assert words[place - 1].start_seconds < begun - 1
        assert begun - 1.2 < words[place].start_seconds < begun + 0.4
    assert transcriber.timed(spoken, "") == []


def test_more_than_one_window(general_speech: Path, transcriber: WhisperTranscriber) -> None:
    speech = prompt(general_speech, "agent-alreadyon")
    text = transcriber.transcribe(np.concatenate([np.pad(speech, (0, 16_000))] * 6)).text.lower()
    assert text.count("agent is already logged") >= 5


LONG_TEXT = (
    "the quick brown fox jumps over the lazy dog and then it runs along the river until it meets an"
    " old friend who tells it a story about a king who lived in a castle on a hill and who had"
    " three daughters and every one of them wanted to travel around the world in a small red boat"
    " with a big white sail and so they packed their bags and took some bread and cheese and walked"
    " down to the harbour where the captain waited for them and said that the wind was good and the"
    " sea was calm"
)
"""105 words, which is 107 tokens of Whisper's and more with punctuation."""


def test_a_long_utterance_is_heard_to_its_end(
    transcriber: WhisperTranscriber, encoder_path: Path
) -> None:
    """CTranslate2 decodes half as many tokens as it is allowed."""
    said = flite(f"{LONG_TEXT} and the sky was blue")[: 29 * 16_000]
    text = transcriber.transcribe(said).text.lower()
    encoder = OnnxEncoder(encoder_path, threads=2)
    first_pass = (
        FirstPassDecoder(transcriber.windows, encoder).decode(encoder.encode(said)).text.lower()
    )
    for heard in (text, first_pass):
        assert heard.rstrip(" .").endswith("the sky was blue")
        assert word_error_rate([(f"{LONG_TEXT} and the sky was blue", heard)])[0] < 0.15


def test_a_decoder_that_misses_the_end_says_it_once(
    transcriber: WhisperTranscriber, encoder_path: Path
) -> None:
    """Of a sentence that is cut off in the middle of a repetition the first-pass transcript went on
    with it up to its last token."""
    said = flite(
        "and so they did and they sailed for seven days and seven nights until they saw an island"
    )
    encoder = OnnxEncoder(encoder_path, threads=2)
    first_pass_decoder = FirstPassDecoder(transcriber.windows, encoder)
    for seconds in (2.6, 2.7, 2.8, 3.2):
        first_pass = first_pass_decoder.decode(
            encoder.encode(said[: int(seconds * 16_000)])
        ).text.lower()
        assert first_pass.count("seven") <= 2, first_pass


def test_an_unsure_transcript_has_a_lower_confidence(
    general_speech: Path, transcriber: WhisperTranscriber
) -> None:
    clean = prompt(general_speech, "agent-alreadyon")
    noisy = clean + noise(len(clean) / 16_000 + 1, 0.15)[: len(clean)]
    assert (
        transcriber.transcribe(noisy).mean_probability
        < transcriber.transcribe(clean).mean_probability
    )


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("amplitude", [0.0, 1e-4, 1e-2])
def test_nothing_is_heard_in_silence_and_noise(
    transcriber: WhisperTranscriber, seconds: float, amplitude: float
) -> None:
    transcript = transcriber.transcribe(noise(seconds, amplitude))
    assert (transcript.text, transcript.mean_probability) == ("", 0.0)


def test_nothing_is_heard_in_a_hum(transcriber: WhisperTranscriber) -> None:
    assert transcriber.transcribe(tone(3.0, 50.0, amplitude=0.05)).text == ""


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="absent.* is missing; run"):
        WhisperTranscriber(tmp_path / "absent", threads=1)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_a_missing_file(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    with pytest.raises(AttuneError, match=f"{name} is missing; run"):
        WhisperTranscriber(damaged, threads=1)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"\x00not what it should be", None])
def test_a_damaged_file(damaged: Path, name: str, content: bytes | None) -> None:
    """`None`: the first half of what it was."""
    whole = (damaged / name).read_bytes() if content is None else b""
    (damaged / name).unlink()
    (damaged / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(AttuneError, match=r"is damaged .*attune models fetch") as caught:
        WhisperTranscriber(damaged, threads=1)
    assert "\n" not in str(caught.value)


def test_links_to_a_whole_model_are_not_damage(damaged: Path) -> None:
    WhisperTranscriber(damaged, threads=1)


def test_a_language_that_the_model_does_not_know_is_refused(whisper_folder: Path) -> None:
    with pytest.raises(AttuneError, match=r"does not know the language de; set engines.language"):
        WhisperTranscriber(whisper_folder, 1, language="de")
