"""`attune models add | use | remove`: a model of one's own is tried, named, replied with, and gone
again; what cannot be is one clear line and changes nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli import models as command
from daemon.cli.common import use_sources
from daemon.config.settings import Settings
from engines.errors import AttuneError
from engines.models.manifest import find_model, load_manifest, write_manifest

Run = Callable[..., str]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of settings of a machine of one's own."""
    folder = tmp_path / "etc"
    folder.mkdir()
    use_sources(None, [])  # another test of this process may have named some
    monkeypatch.setattr("engines.models.manifest._MACHINE", folder)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("ATTUNE__CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ATTUNE__STATE_DIR", str(tmp_path / "state"))
    return folder


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The language models that engines were prepared for; a daemon is told nothing."""
    found: list[str] = []

    def prepare(settings: Settings) -> bool:
        found.append(settings.engines.language_model)
        return False

    monkeypatch.setattr(command, "prepare", prepare)
    monkeypatch.setattr(command, "tell_daemon", lambda: None)
    return found


def run(*words: str) -> str:
    done = CliRunner().invoke(command.app, list(words), catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def refused(*words: str) -> str:
    with pytest.raises(AttuneError) as caught:
        run(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_language_model_is_added_used_and_removed(
    machine: Path, tmp_path: Path, llm_path: Path, prepared: list[str]
) -> None:
    own = tmp_path / "own.gguf"
    shutil.copy(llm_path, own)
    with own.open("ab") as file:
        file.write(b"\0" * 32)  # another file of the same model
    assert "attune models use mine" in run("add", "mine", str(own), "--licence", "MIT")
    own.unlink()  # Attune has a copy
    listed = {one["name"]: one for one in json.loads(run("list", "--json"))}
    assert (listed["mine"]["here"], listed["mine"]["licence"]) == (True, "MIT")
    assert "mine: intact" in run("verify", "mine")
    assert "replies come from mine" in run("use", "mine")
    assert prepared == ["mine"]
    assert 'language_model = "mine"' in (machine / "attune.toml.d" / "models.toml").read_text()
    assert "is in use" in refused("remove", "mine")
    run("use", "smollm2-135m-instruct-q4_1")
    run("remove", "mine")
    assert not (machine / "models.toml").exists()
    assert not Path(listed["mine"]["path"]).exists()
    assert "no model is called 'mine'" in refused("use", "mine")


def test_a_setting_that_counts_more_is_named_and_nothing_is_changed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, prepared: list[str]
) -> None:
    monkeypatch.setenv("ATTUNE__ENGINES__LANGUAGE_MODEL", "another")
    told = refused("use", "smollm2-135m-instruct-q4_1")
    assert "ATTUNE__ENGINES__LANGUAGE_MODEL" in told
    monkeypatch.delenv("ATTUNE__ENGINES__LANGUAGE_MODEL")
    own = machine / "own.toml"
    own.touch()
    use_sources(own, [])
    assert "with --config, " in refused("use", "smollm2-135m-instruct-q4_1")
    use_sources(None, [])
    assert not (machine / "attune.toml.d" / "models.toml").exists()
    assert prepared == []


def test_where_the_engines_cannot_be_prepared_the_choice_stays(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> bool:
        raise AttuneError("no")

    monkeypatch.setattr(command, "prepare", fail)
    assert refused("use", "smollm2-135m-instruct-q4_1") == "no"
    assert not (machine / "attune.toml.d" / "models.toml").exists()


def test_a_speech_model_is_added_and_not_used_for_what_was_learnt(
    machine: Path, whisper_folder: Path
) -> None:
    assert "engines.whisper" in run("add", "ears", str(whisper_folder))
    assert find_model("ears").is_folder
    assert "is a speech model" in refused("use", "ears")
    kept = find_model("whisper-tiny.en").found(whisper_folder.parent.parent)
    run("remove", "ears")
    assert find_model("whisper-tiny.en").found(whisper_folder.parent.parent) == kept


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("Bad name", b"", "cannot be a model's name"),
        ("whisper-tiny.en", b"", "comes with Attune"),
        ("text", b"GGU", "no GGUF file"),
        ("cut", b"GGUF\3\0\0\0", "not a language model that llama.cpp can load"),
    ],
)
def test_what_is_no_model_is_refused(
    machine: Path, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(content)
    assert told in refused("add", name, str(path))
    assert not (machine / "models.toml").exists()


def test_folders_without_whisper_are_refused(machine: Path, tmp_path: Path) -> None:
    assert "is neither a file nor a folder" in refused("add", "mine", str(tmp_path / "none"))
    assert "config.json is missing" in refused("add", "mine", str(tmp_path))


def test_a_manifest_may_not_take_a_shipped_name(machine: Path) -> None:
    entry = find_model("piper-joe")
    write_manifest(machine / "models.toml", [entry])
    with pytest.raises(AttuneError, match="gives the name piper-joe"):
        load_manifest()


def test_what_is_written_is_read_again(machine: Path) -> None:
    licence = 'of "my own", \\ and é'
    odd, other = (
        find_model(shipped).model_copy(update={"name": name, "licence": licence})
        for shipped, name in (("piper-joe", "odd"), ("kokoro-82m", "other"))
    )
    write_manifest(machine / "models.toml", [odd, other])
    assert list(load_manifest(machine / "models.toml").values()) == [odd, other]
    assert find_model("other") == other


def test_what_other_language_models_would_be_like_is_told(
    machine: Path, prepared: list[str], tiny_path: Path
) -> None:
    run("add", "mine", str(tiny_path))
    run("use", "mine")
    found = json.loads(run("recommend", "--json"))
    sizes = [one["bytes"] for one in found]
    assert sizes == sorted(sizes)
    speeds = [one["tokens_a_second"] for one in found]
    assert speeds == sorted(speeds, reverse=True)
    assert [one["name"] for one in found if one["in_use"]] == ["mine"]
    assert all(one["memory_bytes"] > one["bytes"] for one in found)
    assert {"qwen3-0.6b", "llama-3.2-1b", "qwen3-1.7b"} <= {one["name"] for one in found}
    assert "mine" in run("recommend")
