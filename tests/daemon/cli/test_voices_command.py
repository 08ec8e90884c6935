"""`attune say`, `stop` and `voices` in a terminal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from daemon.app import App
from daemon.config.sources import load_settings
from engines.voices.catalogue import HIBARI
from tests.daemon.cli.test_cli import Attune, attune, folder, one_line
from tests.support.fake_speech import speaking_surroundings

__all__ = ["attune", "folder"]


@pytest.fixture
def daemon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("ATTUNE__SPEAKING__VOICE", "hum")
    with App(load_settings().settings, speaking_surroundings()) as app:
        yield app


@pytest.fixture
def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of settings, in a home of its own."""
    monkeypatch.setattr("daemon.config.choice.settings_folders", lambda: [folder / "etc"])
    monkeypatch.setattr("daemon.config.sources.settings_folders", lambda: [folder / "etc"])
    return folder / "etc"


@pytest.mark.usefixtures("daemon")
def test_a_text_is_said(attune: Attune) -> None:
    assert attune("say", "The light is on.") == (0, "", "")
    code, out, _ = attune("say", "Hello.", "--voice", "other", "--json")
    assert code == 0
    assert json.loads(out)["event"] == "text_said"
    assert "give a text in quotes" in one_line(attune("say", " "))
    assert "no voice is called 'missing'" in one_line(attune("say", "Hi.", "--voice", "missing"))
    assert attune("voices", "try", "other", "Hi.") == (0, "", "")


@pytest.mark.usefixtures("daemon")
def test_stopping_where_nothing_is_said(attune: Attune) -> None:
    assert attune("stop") == (0, "nothing was being said\n", "")


def test_a_text_is_written_to_a_file_without_a_daemon(attune: Attune, folder: Path) -> None:
    path = folder / "said.wav"
    code, out, _ = attune("say", "It is half past seven.", "--voice", HIBARI, "--out", path)
    assert code == 0
    assert "voice hibari" in out
    assert 1.0 < soundfile.info(path).duration < 4.0
    assert "nothing in the text can be said" in one_line(attune("say", "***", "--out", path))
    nowhere = folder / "nowhere" / "said.wav"
    assert "cannot be written" in one_line(attune("say", "Hi.", "--out", nowhere))


def test_the_list_fits_80_columns(
    attune: Attune, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = attune("voices", "list")
    assert code == 0
    assert "hibari" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "speaking.voice is auto" in out
    listed = json.loads(attune("voices", "list", "--json")[1])
    assert {voice["name"] for voice in listed} >= {"hibari", "espeak-ng", "command"}


@pytest.mark.usefixtures("at_home")
def test_a_voice_is_chosen(attune: Attune, at_home: Path) -> None:
    code, out, _ = attune("voices", "use", HIBARI)
    assert code == 0
    assert out == f"speaking.voice is hibari (set in {at_home}/attune.toml.d/voice.toml)\n"
    assert load_settings().settings.speaking.voice == HIBARI
    assert "hibari (chosen)" in attune("voices", "list")[1]
    assert "no voice is called 'nobody'" in one_line(attune("voices", "use", "nobody"))
    assert load_settings().settings.speaking.voice == HIBARI
    assert attune("voices", "use", "none")[0] == 0
    assert "replies are only written" in attune("voices", "list")[1]


@pytest.mark.usefixtures("at_home")
def test_a_choice_that_would_not_count_is_refused(
    attune: Attune, at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE__SPEAKING__VOICE", "espeak-ng")
    told = one_line(attune("voices", "use", HIBARI))
    assert "speaking.voice is set by ATTUNE__SPEAKING__VOICE, which counts more" in told
    assert not (at_home / "attune.toml.d" / "voice.toml").exists()


@pytest.mark.usefixtures("daemon", "at_home")
def test_the_mode_is_shown_and_changed(attune: Attune, at_home: Path) -> None:
    assert attune("mode") == (0, "assistant\n", "")
    code, out, _ = attune("mode", "repeat")
    assert (code, out) == (0, f"repeat (set in {at_home}/attune.toml.d/mode.toml)\n")
    assert attune("mode") == (0, "repeat\n", "")
    assert load_settings().settings.conversation.mode == "repeat"
    assert "mode       repeat" in attune("status")[1]
    assert attune("mode", "sing")[0] == 2
