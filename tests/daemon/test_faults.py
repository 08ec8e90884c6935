"""Bad input and broken machines, from outside: one clear line, a non-zero exit, and nothing
lost."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from daemon.app import App, Surroundings
from daemon.cli.__main__ import main
from daemon.client.socket_client import request
from daemon.config.settings import Settings
from daemon.config.sources import load_settings
from daemon.state_lock import hold_state
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.generations.folder import projector_of
from engines.models.manifest import find_model
from tests.support.consent import agree
from tests.support.fakes import fake_models, tone, write_base
from tests.support.places import cache_dir


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("f")


def ours(folder: Path, **variables: str) -> dict[str, str]:
    settings = {
        "STATE_DIR": str(folder / "state"),
        "CACHE_DIR": str(folder / "cache"),
        "CONTROL__SOCKET": str(folder / "a.sock"),
        "AUDIO__SOURCE": "none",
        **variables,
    }
    return {f"ATTUNE__{name}": value for name, value in settings.items()}


def environment(folder: Path, **variables: str) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE__")}
    return others | ours(folder, **variables)


Attune = Callable[..., str]
"""Runs a command that must fail, and returns its one line."""


@pytest.fixture
def attune(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Attune:
    """In the process of the tests."""

    def run(*arguments: str, **variables: str) -> str:
        capsys.readouterr()
        with monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith("ATTUNE__")]:
                patched.delenv(name)
            for name, value in ours(folder, **variables).items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["attune", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return only_line(ended.value.code, capsys.readouterr().err)

    return run


@pytest.fixture
def serve(folder: Path) -> Attune:
    """`attune serve` in a process of its own, for it takes the signals."""

    def run(*arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", *arguments, "serve"],
            env=environment(folder, **variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return only_line(done.returncode, done.stderr)

    return run


def only_line(code: object, err: str) -> str:
    assert code == 1, err
    lines = [line for line in err.splitlines() if line.startswith("attune: ")]
    assert "Traceback" not in err
    assert len(lines) == 1, err
    return lines[0]


@contextmanager
def running(folder: Path) -> Iterator[Settings]:
    settings = load_settings(Path(os.devnull), environment=environment(folder)).settings
    agree(settings.state_dir)
    with App(settings, Surroundings(open_models=fake_models)):
        yield settings


def recordings(folder: Path) -> dict[str, tuple[Path, str | None]]:
    """Recordings of every bad kind, with a part of the line that each gets; None where it is to be
    understood."""
    speech = tone(1.0, 300)
    files: dict[str, tuple[Path, str | None]] = {}

    def add(name: str, line: str | None, content: bytes | None = None) -> Path:
        files[name] = folder / name, line
        if content is not None:
            (folder / name).write_bytes(content)
        return folder / name

    add("empty.wav", "is empty", b"")
    add("text.wav", "is text, not audio", b"Dear Attune,\nthis is a letter.\n")
    add("noise.wav", "not audio", np.random.default_rng(0).bytes(5000))
    soundfile.write(add("silent.wav", "is silent"), np.zeros(16_000), 16_000)
    soundfile.write(add("eight.wav", None), tone(1.0, 300)[::2], 8_000)
    soundfile.write(add("stereo.wav", None), np.stack([speech, speech], 1), 16_000)
    soundfile.write(add("float.wav", None), speech, 16_000, subtype="FLOAT")
    holding_nan = speech.copy()
    holding_nan[500] = np.nan
    soundfile.write(add("nan.wav", "NaN"), holding_nan, 16_000, subtype="FLOAT")
    whole = add("truncated.wav", "truncated")
    soundfile.write(whole, speech, 16_000)
    whole.write_bytes(whole.read_bytes()[:9000])
    hour = np.zeros(3600 * 8000, np.int16)
    hour[::100] = 9000
    soundfile.write(add("hour.wav", "is longer than"), hour, 8_000)
    files["missing.wav"] = folder / "missing.wav", "does not exist"
    return files


def test_no_recording_takes_the_daemon_down(folder: Path, attune: Attune) -> None:
    with running(folder) as settings:
        for name, (path, line) in recordings(folder).items():
            asked = request(settings.control.socket, {"command": "ask", "audio": path}, 120)
            if line is None:
                assert list(asked)[-1]["heard"] == "a tone of 300", name
                continue
            with pytest.raises(AttuneError, match=line) as caught:
                list(asked)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)
            assert line in attune("ask", str(path))
        [status] = request(settings.control.socket, {"command": "status"}, 120)
        assert status["counts"]["utterances"] == 3


def test_a_missing_model_is_named(folder: Path, attune: Attune, serve: Attune) -> None:
    assert "the model whisper-tiny.en is not in" in serve()
    assert "no model is called 'whisper-huge'" in serve(ENGINES__WHISPER="whisper-huge")
    assert "attune models fetch" in attune("engines", "build")


def test_a_corrupted_model_is_named(
    folder: Path, serve: Attune, whisper_folder: Path, llm_path: Path
) -> None:
    """Copies of the real ones, the larger of them cut short."""
    for name, path in (
        ("whisper-tiny.en", whisper_folder),
        ("smollm2-135m-instruct-q4_1", llm_path),
    ):
        source, target = (
            find_model(name).folder(cache_dir()),
            find_model(name).folder(folder / "cache"),
        )
        assert path.exists()
        shutil.copytree(source, target)
    model = find_model("smollm2-135m-instruct-q4_1")
    llm = model.within(model.folder(folder / "cache"))
    os.truncate(llm, 1_000_000)
    line = serve()
    assert "smollm2-135m-instruct-q4_1 is damaged" in line
    assert "attune models fetch" in line


def test_a_corrupted_database_is_named_and_kept(folder: Path, serve: Attune) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "attune.db").write_bytes(b"\0" * 100 + b"no database" * 1000)
    before = (folder / "state" / "attune.db").read_bytes()
    assert "attune.db is damaged" in serve()
    assert (folder / "state" / "attune.db").read_bytes() == before


def test_an_unknown_key_is_named_by_every_command(
    folder: Path, attune: Attune, serve: Attune
) -> None:
    assert "did you mean conversation.route?" in serve(CONVERSATION__ROOT="auto")
    for command in (["status"], ["config", "check"], ["config", "show"]):
        assert "did you mean conversation.route?" in attune(*command, CONVERSATION__ROOT="auto")
    (folder / "a.toml").write_text("[audio]\nspede = 2\n", encoding="utf-8")
    line = attune("--config", str(folder / "a.toml"), "config", "check")
    assert "audio.spede" in line
    assert "a.toml" in line
    assert "audio.speed" in line
    assert "KEY=VALUE" in attune("--set", "audio.speed", "config", "check")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[segmenter]\nstart_threshold = 0.3\n",
            "the settings of [segmenter] contradict each other",
        ),
        (
            "[llm]\ncontext_tokens = 256\n[conversation]\nmax_reply_tokens = 4096\n",
            "llm.context_tokens = 256 has no room",
        ),
        ("[engines]\nwhisper = 'whisper-huge'\n", "no model is called 'whisper-huge'"),
    ],
)
def test_what_serve_refuses_config_check_refuses_too(
    folder: Path, attune: Attune, serve: Attune, text: str, line: str
) -> None:
    (folder / "a.toml").write_text(text, encoding="utf-8")
    given = ("--config", str(folder / "a.toml"))
    assert line in attune(*given, "config", "check")
    assert line in serve(*given)


def test_config_check_looks_for_the_recording(folder: Path, attune: Attune) -> None:
    assert "/nowhere/a.wav does not exist" in attune(
        "config", "check", AUDIO__SOURCE="/nowhere/a.wav"
    )


def test_a_second_daemon_says_who_is_there(folder: Path, serve: Attune) -> None:
    with running(folder):
        assert f"another Attune daemon (process {os.getpid()}) answers at" in serve()
        elsewhere = str(folder / "b.sock")
        assert f"another Attune daemon (process {os.getpid()}) already uses" in serve(
            CONTROL__SOCKET=elsewhere
        )


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOLCK, "this file system has no locks"),
        (errno.EOPNOTSUPP, "this file system has no locks"),
        (errno.EIO, "cannot be locked: Input/output error"),
        (errno.EWOULDBLOCK, "another Attune daemon (process 42) already uses"),
    ],
)
def test_what_keeps_the_state_from_being_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, line: str
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "attune.lock").write_text("42", encoding="ascii")
    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(AttuneError) as caught, hold_state(tmp_path):
        pass
    assert line in str(caught.value)


def test_a_state_folder_that_cannot_be_used_is_named(folder: Path, serve: Attune) -> None:
    (folder / "state").write_text("in the way", encoding="utf-8")
    assert "the state folder" in serve()


def test_a_full_disk_loses_only_the_row_that_did_not_fit(folder: Path) -> None:
    """The limit on a file's size stands in for the full disk: writes fail in the same place."""
    code = (
        "import resource, signal, sys; from pathlib import Path\nfrom daemon.store.store import"
        " Store; from engines.errors import AttuneError; from tests.support.fakes import"
        " tone\nstore = Store(Path(sys.argv[1])); signal.signal(signal.SIGXFSZ,"
        " signal.SIG_IGN)\nstore.add_utterance(tone(0.2),"
        " 'file')\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\ntry:"
        " store.add_utterance(tone(2.0, 300), 'file')\nexcept AttuneError as error:"
        " print(error)\nresource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,"
        " resource.RLIM_INFINITY))\nstore.add_utterance(tone(0.2, 400), 'file');"
        " print(store.counts().utterances)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    line, count = done.stdout.splitlines()
    assert "cannot be written" in line
    assert count == "2"
    assert len(list((folder / "audio").iterdir())) == 2


def test_every_generation_damaged_leaves_the_cascade(folder: Path) -> None:
    base = write_base(folder / "state" / "generations")
    projector_of(base)[0].write_bytes(b"damage")
    write_flac(folder / "a.flac", tone(1.0, 300))
    with running(folder) as settings:
        turn = list(
            request(settings.control.socket, {"command": "ask", "audio": folder / "a.flac"}, 120)
        )[-1]
        assert (turn["route"], turn["heard"]) == ("cascade", "a tone of 300")
        [status] = request(settings.control.socket, {"command": "status"}, 120)
        assert "0000 is damaged" in str(status["problems"])
