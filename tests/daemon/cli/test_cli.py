"""The command line: what it prints, where, and with which exit code."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.app import App, Surroundings
from daemon.cli.__main__ import main
from daemon.config.sources import load_settings
from daemon.training.idle import Board
from engines.audio.recordings import write_flac
from tests.support.consent import agree
from tests.support.fake_child import FAKE
from tests.support.fakes import fake_models, tone, write_base
from tests.support.running_daemon import measured

Outcome = tuple[int, str, str]
"""Exit code, standard output, standard error."""
Attune = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("c")
    variables = {"STATE_DIR": "state", "CACHE_DIR": "cache", "CONTROL__SOCKET": "a.sock"}
    for name, place in variables.items():
        monkeypatch.setenv(f"ATTUNE__{name}", str(folder / place))
    monkeypatch.setenv("ATTUNE__AUDIO__SOURCE", "none")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        "daemon.training.round_inputs.read_board",
        lambda _: Board(available_bytes=10**10, disk_free_bytes=10**10),
    )
    return folder


@pytest.fixture
def attune(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Attune:
    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["attune", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def daemon(folder: Path) -> Iterator[App]:
    write_base(folder / "state" / "generations")
    measured(folder / "cache")
    agree(folder / "state")
    surroundings = Surroundings(
        open_models=fake_models, round_command=(sys.executable, str(FAKE), "done")
    )
    with App(load_settings().settings, surroundings) as app:
        yield app


def one_line(outcome: Outcome) -> str:
    code, _, err = outcome
    assert code == 1
    assert err.startswith("attune: ")
    assert err.count("\n") == 1, err
    return err


COMMANDS = [
    *(
        "serve",
        "ask",
        "listen",
        "talk",
        "status",
        "adapt",
        "correct",
        "enroll",
        "doctor",
        "models",
        "config",
        "config show",
    ),
    *(
        "config check",
        "generations",
        "generations list",
        "generations show",
        "generations promote",
        "generations rollback",
        "why",
        "engines",
        "engines build",
        "vocabulary",
        "vocabulary add",
        "vocabulary list",
        "vocabulary remove",
        "vocabulary import",
        "align",
        "align corpus",
        "align recogniser",
        "align train",
    ),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(attune: Attune, command: str) -> None:
    code, out, _ = attune(*command.split(), "--help")
    assert code == 0
    assert "Usage: attune" in out
    assert len(out.splitlines()) > 4


def test_a_corpus_needs_its_models_and_training_a_corpus(attune: Attune, folder: Path) -> None:
    assert "models fetch" in one_line(attune("align", "corpus", "--out", folder / "corpus"))
    (folder / "empty").mkdir()
    assert "models fetch" in one_line(
        attune("align", "train", folder / "empty", "--out", folder / "out")
    )
    assert attune("align", "train", folder / "none", "--out", folder / "out")[0] == 2
    assert attune("align", "corpus", "--out", folder / "corpus", "--hours", "0")[0] == 2


def test_the_version_and_wrong_usage(attune: Attune) -> None:
    code, out, _ = attune("--version")
    assert (code, out.split()[0]) == (0, "attune")
    for wrong in (
        ["dance"],
        ["ask"],
        ["adapt"],
        ["adapt", "--now", "--cancel"],
        ["generations", "promote", "x"],
        ["enroll"],
    ):
        assert attune(*wrong)[0] == 2


@pytest.mark.parametrize(
    "command",
    [
        "ask hello",
        "talk",
        "status",
        "adapt --now",
        "adapt --cancel",
        "correct x",
        "enroll --from x",
        "listen x",
    ],
)
def test_without_a_daemon_there_is_one_clear_line(
    attune: Attune, folder: Path, command: str
) -> None:
    line = one_line(attune(*command.split()))
    assert (
        line == f"attune: no Attune daemon answers at {folder / 'a.sock'}; start it with `attune"
        " serve`\n"
    )


def test_asking_shows_what_was_heard_the_reply_and_the_time(
    attune: Attune, daemon: App, folder: Path
) -> None:
    code, out, _ = attune("ask", "hello [you] there")
    assert code == 0
    assert out.startswith("0 hello [you] there")
    assert "text route" in out
    assert "ms to the first word" in out
    write_flac(folder / "a.flac", tone(1.0, 300))
    _, out, _ = attune("ask", folder / "a.flac", "--route", "aligned")
    assert "1 4 tokens" in out
    assert "heard: soft soft soft soft" in out
    events = [
        json.loads(line) for line in attune("ask", folder / "a.flac", "--json")[1].splitlines()
    ]
    assert events[0]["text"] == "a tone of 300"
    assert events[-1]["reply"] == "2 a tone of 300"
    assert "does not exist" in one_line(attune("ask", folder / "none.wav"))
    assert "no sideways route" in one_line(attune("ask", "hello", "--route", "sideways"))


def test_talking_answers_every_line(
    attune: Attune, daemon: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\ntoo long\ngood day\n"))
    code, out, err = attune("talk")
    assert code == 0
    assert "0 hello" in out
    assert "1 good day" in out
    assert "the words do not fit" in err


def test_status_for_people_and_for_programs(attune: Attune, daemon: App, folder: Path) -> None:
    write_flac(folder / "a.flac", tone(1.0, 300))
    attune("ask", folder / "a.flac")
    _, out, _ = attune("status")
    for part in ("cascade", "1 utterances", "off", "a tone of 300", "waiting"):
        assert part in out
    found = json.loads(attune("status", "--json")[1])
    assert found["route"] == "cascade"
    assert found["last_turns"][0]["heard"] == "a tone of 300"


def test_sentences_to_read_are_written_into_a_new_file(attune: Attune, folder: Path) -> None:
    path = folder / "sentences.txt"
    code, out, _ = attune("enroll", "--prompts", path)
    assert (code, out) == (0, "wrote 320 sentences\n")
    assert len(path.read_text().splitlines()) == 320
    code, _, err = attune("enroll", "--prompts", path)
    assert (code, "File exists" in err) == (1, True)
    assert attune("enroll")[0] == 2
    assert attune("enroll", "--prompts", path, "--from", path)[0] == 2


def test_what_is_kept_is_the_users_decision(attune: Attune, daemon: App, folder: Path) -> None:
    assert attune("consent", "off")[1].startswith("kept: nothing of what you say, as you wanted on")
    (folder / "good.jsonl").write_text('{"audio": "a.flac", "text": "x"}', encoding="utf-8")
    assert "`attune consent on`" in one_line(attune("enroll", "--from", folder / "good.jsonl"))
    assert "nothing of what you say" in attune("status")[1]
    code, out, _ = attune("adapt", "--now", "--if-new")  # as a timer does every night
    assert code == 0
    assert "nothing is learned: you have not agreed to it" in out
    code, out, _ = attune("consent", "on")
    assert code == 0
    assert out.startswith("kept: what you say, to learn from it: you agreed on 2")
    assert attune("consent")[1] == out
    assert json.loads(attune("consent", "--json")[1])["by"] == "command line"


def test_enrolling_learning_and_going_back(attune: Attune, daemon: App, folder: Path) -> None:
    rows = []
    for index in range(20):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "good.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "bad.jsonl").write_text(
        rows[0] + '\n{"audio": "none.flac", "text": "x"}', encoding="utf-8"
    )
    assert attune("enroll", "--from", folder / "good.jsonl")[:2] == (
        0,
        "enrolled 20 utterances, 0.2 minutes\n",
    )
    code, out, err = attune("enroll", "--from", folder / "bad.jsonl")
    assert (code, out) == (1, "enrolled 1 utterance, 0.0 minutes\n")
    assert err.splitlines()[0].startswith("bad.jsonl line 2: ")
    assert err.splitlines()[1].startswith("attune: 1 row was bad")
    code, out, _ = attune("adapt", "--now")
    assert code == 0
    assert out.startswith("promoted: ")
    assert attune("adapt", "--now", "--if-new")[:2] == (0, "there is nothing new to learn\n")
    paused = attune("--set", "idle.enabled=false", "adapt", "--now", "--if-new")
    assert paused[:2] == (0, "rounds start on request only: idle.enabled is false\n")
    listed = json.loads(attune("generations", "list", "--json")[1])
    assert [(row["number"], row["place"]) for row in listed] == [(0, "previous"), (1, "current")]
    assert listed[1]["card"]["holdout"]["candidate"]["word_error_rate"] == 0.1
    assert (
        attune("generations", "promote", "0")[1]
        == "generation 0000 is current; speech takes the cascade route\n"
    )
    assert (
        attune("generations", "rollback")[1]
        == "generation 0001 is current; speech takes the aligned route\n"
    )
    assert "10.0 %" in attune("generations", "list")[1]
    why = attune("why")[1]
    assert why.startswith("the last round succeeded: 10.0 % word error")
    assert "generation 0001 from 0000, fake: promoted: " in why
    shown = attune("generations", "show", "1")[1]
    assert shown in why, "here the labels are of utterances that nobody stored"
    told = json.loads(attune("why", "1", "--json")[1])
    assert told["round"] is None
    assert told["generation"]["changed"]["holdout"][0] == {
        "id": "u0",
        "words": 1000,
        "candidate": 100,
        "current": 500,
        "cascade": 600,
        "recogniser": None,
        "current_recogniser": None,
        "text": "",
    }
    assert "the base, which came with Attune" in attune("generations", "show", "0")[1]
    going = folder / "state" / "generations" / "0001"
    going.rename(going.with_name("gone"))
    assert attune("why")[1].splitlines()[0] == why.splitlines()[0]
    assert "0001" in one_line(attune("why", "1"))
    assert "0007" in one_line(attune("generations", "show", "7"))


def test_a_correction_shows_both_texts(attune: Attune, daemon: App, folder: Path) -> None:
    write_flac(folder / "a.flac", tone(1.0, 300))
    attune("ask", folder / "a.flac")
    assert (
        attune("correct", "turn it off")[1]
        == "turn 1: heard “a tone of 300”, you said “turn it off”\n"
    )
    assert "there is no turn 7" in one_line(attune("correct", "x", "--turn", "7"))


def test_what_cannot_be_learnt_is_an_error(attune: Attune, daemon: App) -> None:
    code, _, err = attune("adapt", "--now")
    assert code == 1
    assert err.splitlines()[-1].startswith("attune: nothing is labelled yet")
    why = attune("why")[1]
    assert why.startswith("the last round failed: nothing is labelled yet")


def test_generations_without_a_daemon(attune: Attune, folder: Path) -> None:
    assert "attune engines build" in one_line(attune("generations", "list"))
    write_base(folder / "state" / "generations")
    assert (
        attune("generations", "promote", "0")[1]
        == "generation 0000 is current from the next start on\n"
    )
    assert "there is no previous generation" in one_line(attune("generations", "rollback"))
    (folder / "state" / "generations" / "0000" / "projector.onnx").write_bytes(b"damage")
    [row] = json.loads(attune("generations", "list", "--json")[1])
    assert row["route"] == "damaged"


def test_configuration_is_shown_with_its_origins(attune: Attune, folder: Path) -> None:
    (folder / "a.toml").write_text("[llm]\ncontext_tokens = 512\n", encoding="utf-8")
    options = ["--config", folder / "a.toml", "--set", "engines.threads=3"]
    found = json.loads(attune(*options, "config", "show", "--origin", "--json")[1])
    assert found["llm.context_tokens"] == {"value": 512, "origin": str(folder / "a.toml")}
    assert found["engines.threads"] == {"value": 3, "origin": "flag"}
    assert found["state_dir"] == {"value": str(folder / "state"), "origin": "ATTUNE__STATE_DIR"}
    assert "512" in attune(*options, "config", "show")[1]
    assert str(folder / "a.toml") in attune(*options, "config", "check")[1]


def test_doctor_tells_what_is_missing(attune: Attune, folder: Path) -> None:
    found = json.loads(attune("doctor", "--json")[1])
    assert found["models"]["well"] is False
    assert "attune models fetch" in found["models"]["found"]
    assert "attune engines build" in found["generation"]["found"]
    assert "attune serve" in found["daemon"]["found"]
    assert attune("doctor")[0] == 0
