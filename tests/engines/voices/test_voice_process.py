"""A voice in a process of its own says what it says here, and cannot take this process with it."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from engines.errors import AttuneError
from engines.voices import voice_process
from engines.voices.automatic import AUTO
from engines.voices.catalogue import COMMAND, HIBARI, VoiceNeeds, open_voice
from engines.voices.pace import read_paces
from engines.voices.voice_process import open_in_process

TEXT = "The kitchen light is on now."


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_it_says_what_the_voice_says_and_ends_when_it_is_closed(tmp_path: Path) -> None:
    needs, before = VoiceNeeds(tmp_path, speed=1.2), children()
    voice = open_in_process(HIBARI, needs)
    here = open_voice(HIBARI, needs)
    assert (voice.name, voice.rate_hz) == (here.name, here.rate_hz)
    for text in (TEXT, "Grüße, “Zoë”\n\nund\ttschüss.", "…!"):
        assert np.array_equal(voice.speak(text), here.speak(text))
    made = children() - before
    assert made
    voice.close()
    assert not children() & made
    with pytest.raises(AttuneError, match="the process of the voice ended"):
        voice.speak(TEXT)


def test_it_measures_what_auto_means(tmp_path: Path) -> None:
    voice = open_in_process(AUTO, VoiceNeeds(tmp_path))
    voice.close()
    assert voice.name in read_paces(tmp_path).voices


def test_why_it_cannot_be_opened_is_told(tmp_path: Path) -> None:
    before = children()
    with pytest.raises(AttuneError, match="no voice is called 'baritone'"):
        open_in_process("baritone", VoiceNeeds(tmp_path))
    with pytest.raises(AttuneError, match="the voice hibari cannot be started"):
        open_in_process(HIBARI, VoiceNeeds(tmp_path), [str(tmp_path / "missing")])
    with pytest.raises(AttuneError, match="the process of the voice ended"):
        open_in_process(HIBARI, VoiceNeeds(tmp_path), ["false"])
    assert children() <= before


def test_a_text_that_fails_leaves_the_next_one(tmp_path: Path) -> None:
    script = tmp_path / "voice"
    script.write_text(
        "#!/bin/sh\ntext=$(cat)\ncase $text in *bad*) echo no >&2; exit 1;; esac\n"
        'echo "$text" | espeak-ng --stdin --stdout\n'
    )
    script.chmod(0o755)
    voice = open_in_process(COMMAND, VoiceNeeds(tmp_path, command=str(script)))
    with pytest.raises(AttuneError, match="failed \\(no\\)"):
        voice.speak("bad")
    assert len(voice.speak("good"))
    voice.close()


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    before = children()
    voice = open_in_process(HIBARI, VoiceNeeds(tmp_path))
    [child] = children() - before
    os.kill(child, signal.SIGKILL)
    with pytest.raises(AttuneError, match="the process of the voice ended"):
        voice.speak(TEXT)
    voice.close()


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_process, "ASLEEP_LIMIT_SECONDS", 0.5)
    monkeypatch.setattr(voice_process, "_LOOK_SECONDS", 0.2)
    before = children()
    with pytest.raises(AttuneError, match="the voice hung: its process said nothing for"):
        open_in_process(
            HIBARI, VoiceNeeds(tmp_path), [sys.executable, "-c", "import time; time.sleep(600)"]
        )
    assert children() <= before
