"""Synthetic speakers: the phonological processes by rule, and that what is spoken is speech at the
right rate."""

import random
from pathlib import Path

import numpy as np
import pytest

from calibration.corpus.demo_speakers import ATYPICAL_ENROLLED, ATYPICAL_JUDGED, ATYPICAL_VOICE
from calibration.corpus.judged_requests import ENROLLED, everyday_requests
from calibration.corpus.phonological_processes import FRONTING, GLIDING, LISP, STOPPING, rewrite
from calibration.corpus.synthesis import Voice, describe, is_atypical, phonemes, speak
from calibration.corpus.texts import fortune_sentences
from calibration.corpus.training_requests import requests
from engines.errors import AttuneError
from engines.voices.phonemes import ipa


@pytest.mark.parametrize(
    ("processes", "plain", "expected"),
    [
        (FRONTING, "k'I2tSIn g'ArdIn", "t'I2tSIn d'ArdIn"),
        (GLIDING, "r'eIdi;oU", "r'eIdi;oU"),
        (GLIDING, "tar@n", "taw@n"),
        (LISP, "sI2st3", "TI2Tt3"),
        (STOPPING, "sVn fAn", "tVn pAn"),
    ],
)
def test_processes_are_consistent(
    processes: tuple[tuple[str, str], ...], plain: str, expected: str
) -> None:
    assert rewrite(plain, processes) == expected


def test_the_atypical_speaker_fronts_and_lisps() -> None:
    spoken = phonemes("Close the kitchen curtains.", ATYPICAL_VOICE)
    assert "k" not in spoken
    assert "s" not in spoken.replace("ts", "")


def test_a_description_tells_an_atypical_speaker() -> None:
    assert is_atypical(describe(ATYPICAL_VOICE))
    assert not is_atypical(describe(Voice("espeak-ng", "en-us")))
    assert not is_atypical("my, 12 rules/recording.flac")


@pytest.mark.parametrize(
    "voice", [Voice("espeak-ng", "en-us"), Voice("flite", "slt"), ATYPICAL_VOICE]
)
def test_speech_has_a_plausible_length_and_level(voice: Voice) -> None:
    samples = speak("Turn on the light in the kitchen.", voice)
    assert samples.dtype == np.float32
    assert 1.0 < len(samples) / 16000 < 5.0
    assert 0.05 < float(np.abs(samples).max()) <= 1.5


def test_a_sentence_that_looks_like_an_option_is_spoken() -> None:
    assert len(speak("--help me", Voice("espeak-ng", "en-us"))) > 8000


def test_an_unknown_voice_is_one_clear_line() -> None:
    with pytest.raises(AttuneError, match="espeak-ng failed") as caught:
        speak("hello", Voice("espeak-ng", "xx-none"))
    assert "\n" not in str(caught.value)


def test_judged_requests_are_never_enrolled() -> None:
    texts = everyday_requests(ATYPICAL_ENROLLED + ATYPICAL_JUDGED, ENROLLED, random.Random(11))
    assert len(set(texts)) == ATYPICAL_ENROLLED + ATYPICAL_JUDGED


def test_texts_are_plain_and_repeatable() -> None:
    sentences = fortune_sentences()
    assert len(sentences) > 5000
    assert all(3 <= len(sentence.split()) <= 14 for sentence in sentences)
    assert requests(50, random.Random(3)) == requests(50, random.Random(3))
    assert len(set(requests(50, random.Random(3)))) == 50


def test_a_synthesizer_that_hangs_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "espeak-ng"
    hanging.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("engines.device.commands.LONGEST_RUN_SECONDS", 0.2)
    with pytest.raises(
        AttuneError, match="espeak-ng said nothing for .* s and used no processor time"
    ):
        speak("hello", Voice("espeak-ng", "en-us"))
    with pytest.raises(
        AttuneError, match="espeak-ng said nothing for .* s and used no processor time"
    ):
        ipa("hello", "en-us")
