"""`attune wake` and `attune call` in a terminal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.app import App, Surroundings
from daemon.config.sources import load_settings
from daemon.spoken_turns import own_phrase_path
from engines.audio.recordings import write_flac
from tests.daemon.cli.test_cli import Attune, attune, folder, one_line
from tests.daemon.cli.test_voices_command import at_home
from tests.engines.wake.test_own_phrase import PACES, PHRASE, take
from tests.support.fakes import fake_models

__all__ = ["at_home", "attune", "folder"]


@pytest.fixture
def daemon(folder: Path) -> Iterator[App]:
    with App(load_settings().settings, Surroundings(open_models=fake_models)) as app:
        yield app


@pytest.fixture
def takes(folder: Path) -> list[Path]:
    paths = [folder / f"take-{pace}.flac" for pace in PACES[:3]]
    for path, pace in zip(paths, PACES, strict=False):
        write_flac(path, take(PHRASE, pace))
    return paths


@pytest.mark.usefixtures("at_home")
def test_the_list_fits_80_columns(attune: Attune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = attune("wake", "list")
    assert code == 0
    assert "none (chosen)" in out
    assert max(map(len, out.splitlines())) <= 80
    listed = {one["name"]: one["state"] for one in json.loads(attune("wake", "list", "--json")[1])}
    assert listed["hey_jarvis"] == listed["button"] == "ready"
    assert "attune wake record" in listed["own"]


def test_a_wake_word_is_chosen(attune: Attune, at_home: Path) -> None:
    code, out, _ = attune("wake", "use", "hey_jarvis")
    assert code == 0
    assert out == f"wake.word is hey_jarvis (set in {at_home}/attune.toml.d/wake.toml)\n"
    assert load_settings().settings.wake.word == "hey_jarvis"
    assert "hey_jarvis (chosen)" in attune("wake", "list")[1]
    assert "no wake word is called 'computer'" in one_line(attune("wake", "use", "computer"))
    assert "no phrase was recorded" in one_line(attune("wake", "use", "own"))
    assert load_settings().settings.wake.word == "hey_jarvis"


@pytest.mark.usefixtures("daemon")
def test_a_phrase_is_learnt_from_recordings_and_chosen(
    attune: Attune, at_home: Path, takes: list[Path]
) -> None:
    code, out, _ = attune("wake", "record", PHRASE, *takes)
    assert code == 0
    assert "learnt from 3 recordings, compared with" in out
    assert "wake.word is own" in out
    assert load_settings().settings.wake.word == "own"
    assert own_phrase_path(load_settings().settings.state_dir).is_file()
    assert f"“{PHRASE}”, your own" in attune("wake", "list")[1]
    assert "your own: “hello attune”" in attune("doctor")[1]
    two = one_line(attune("wake", "record", PHRASE, *takes[:2]))
    assert "3 to 10 recordings of the phrase are needed, not 2" in two
    assert "give it in quotes" in one_line(attune("wake", "record", " ", *takes))


@pytest.mark.usefixtures("daemon", "at_home")
def test_without_a_microphone_recordings_are_asked_for(attune: Attune) -> None:
    assert "there is no microphone" in one_line(attune("wake", "record", PHRASE))


@pytest.mark.usefixtures("daemon")
def test_a_button_calls(attune: Attune) -> None:
    assert attune("call") == (0, "", "")
    assert json.loads(attune("call", "--json")[1]) == {"event": "called", "by": "button"}
    assert json.loads(attune("call", "--end", "--json")[1]) == {"event": "call_ended"}
