"""The voices that need nothing but packages: they speak, are measured, and say if they cannot."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from engines.errors import AttuneError
from engines.voices.catalogue import (
    BEST_KOKORO,
    COMMAND,
    ESPEAK,
    HIBARI,
    PIPER,
    VoiceNeeds,
    automatic_voices,
    list_voices,
    open_voice,
)
from engines.voices.pace import measure, read_paces
from engines.voices.phonemes import ipa
from engines.voices.voice import Voice

ESPEAK_COMMAND = "espeak-ng --stdin --stdout"


def needs(folder: Path, **more: object) -> VoiceNeeds:
    return VoiceNeeds(folder, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (HIBARI, {}),
        (ESPEAK, {}),
        (ESPEAK, {"language": "de"}),
        (COMMAND, {"command": ESPEAK_COMMAND}),
    ],
)
def test_a_voice_speaks(name: str, options: dict[str, object], tmp_path: Path) -> None:
    voice = open_voice(name, needs(tmp_path, **options))
    samples = voice.speak("The light in the kitchen is on.")
    assert samples.dtype == np.float32
    assert 1.0 < len(samples) / voice.rate_hz < 4.0
    assert 0.05 < float(np.abs(samples).max()) <= 1.2
    assert len(voice.speak("***")) == 0
    assert len(voice.speak("Yes.")) < len(samples)


def test_a_faster_voice_says_the_same_in_less_time(tmp_path: Path) -> None:
    for name in (HIBARI, ESPEAK):
        usual, fast = (
            open_voice(name, needs(tmp_path, speed=speed)).speak("The kitchen light is on now.")
            for speed in (1.0, 1.6)
        )
        assert 0.5 < len(fast) / len(usual) < 0.85


def test_hibari_says_a_sentence_the_same_every_time(tmp_path: Path) -> None:
    voice = open_voice(HIBARI, needs(tmp_path))
    assert np.array_equal(voice.speak("Good morning."), voice.speak("Good morning."))


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("nobody", {}, "no voice is called 'nobody'; `attune voices list`"),
        (PIPER, {}, "run `attune models fetch piper-joe`"),
        (BEST_KOKORO, {}, "run `attune models fetch kokoro-82m`"),
        (COMMAND, {}, "speaking.command is empty"),
        (COMMAND, {"command": "'"}, "speaking.command cannot be read"),
        (COMMAND, {"command": "no-such-program"}, "no-such-program is not installed"),
        (COMMAND, {"command": "cat"}, "cat wrote no WAV file"),
        (COMMAND, {"command": "false"}, "false failed"),
        (ESPEAK, {"language": "xx"}, "espeak-ng failed"),
    ],
)
def test_a_voice_that_cannot_be_opened_says_what_to_do(
    name: str,
    options: dict[str, object],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))  # no models of the system
    with pytest.raises(AttuneError, match=problem):
        open_voice(name, needs(tmp_path, **options))


def test_a_damaged_model_of_hibari_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "hibari.onnx"
    damaged.write_bytes(b"not a model")
    monkeypatch.setattr("hibari.tts.voice_path", lambda name: str(damaged))
    with pytest.raises(AttuneError, match="hibari cannot be opened .*; reinstall the package"):
        open_voice(HIBARI, needs(tmp_path))


def test_hibari_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("hibari.voices.download", refuse)
    open_voice(HIBARI, needs(tmp_path))


def test_the_list_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    listed = {voice.name: voice.missing for voice in list_voices(needs(tmp_path))}
    assert list(listed) == [BEST_KOKORO, HIBARI, PIPER, ESPEAK, COMMAND]
    assert listed[BEST_KOKORO] == "run `attune models fetch kokoro-82m`"
    assert listed[HIBARI] == listed[ESPEAK] == ""
    assert listed[COMMAND] == "set speaking.command"
    assert automatic_voices(needs(tmp_path)) == [HIBARI, ESPEAK]
    assert automatic_voices(needs(tmp_path, language="de")) == [ESPEAK]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert automatic_voices(needs(tmp_path)) == [HIBARI]


def ticking(seconds: float) -> Iterator[float]:
    return (number * seconds for number in count())


@pytest.mark.parametrize(("seconds", "keeps_up"), [(0.1, True), (5.0, False)])
def test_the_pace_is_measured_once(seconds: float, keeps_up: bool, tmp_path: Path) -> None:
    voice = Voice("even", 1000, lambda text: np.ones(2000, np.float32))
    assert read_paces(tmp_path).voices == {}
    found = measure(voice, tmp_path, ticking(seconds).__next__)
    assert found.real_time_factor == pytest.approx(seconds / 2)
    assert found.keeps_up is keeps_up
    assert read_paces(tmp_path).voices == {"even": found}


def test_a_pace_of_another_machine_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(Voice("even", 1000, lambda text: np.ones(2000, np.float32)), tmp_path)
    monkeypatch.setattr("engines.voices.pace.processor_name", lambda: "another")
    assert read_paces(tmp_path).voices == {}
    (tmp_path / "voices.json").write_text("{damaged")
    assert read_paces(tmp_path).voices == {}


def test_phonemes_of_nothing_are_nothing() -> None:
    assert ipa("", "en-us") == ipa("...", "en-us") == ""
