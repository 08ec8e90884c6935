"""A daemon that is told to stop does so in order, whatever it is at."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.attention import Attention
from daemon.client.enrolling import enroll
from daemon.client.socket_client import request
from daemon.store.labelling import Labeller
from daemon.store.store import Store
from engines.audio.recordings import write_flac
from engines.errors import AttuneError
from engines.types import Float32, Transcript
from tests.support.consent import agree
from tests.support.fakes import PROVEN, tone, transcribe
from tests.support.running_daemon import folder, make_settings
from tests.support.stored_labels import said_by_first_user
from tests.support.tiny_daemon import OPENS_FOR_EVER

__all__ = ["folder"]

DEADLINE_SECONDS = 120.0


@contextmanager
def daemon(folder: Path, until: str, **settings: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that has logged a line with `until` in it, and is told to stop when the `with`
    ends."""
    made = make_settings(folder)
    environment = {
        **os.environ,
        **{f"ATTUNE__{name}": value for name, value in settings.items()},
        "ATTUNE__STATE_DIR": str(made.state_dir),
        "ATTUNE__CONTROL__SOCKET": str(made.control.socket),
        "ATTUNE__AUDIO__SOURCE": "none",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.tiny_daemon"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            assert until in line, line
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_SECONDS) == 0
            assert "Traceback" not in process.stderr.read()
            assert not made.control.socket.exists()
        finally:
            process.kill()


def ask(folder: Path, command: str, **arguments: object) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE_SECONDS)
    connection.connect(str(make_settings(folder).control.socket))
    connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
    return connection


def test_while_the_models_are_opened(folder: Path) -> None:
    with daemon(folder, "opening the models", CONVERSATION__SYSTEM_PROMPT=OPENS_FOR_EVER):
        pass


def test_while_a_reply_streams_and_others_wait(folder: Path) -> None:
    with daemon(folder, "serving at"):
        first = ask(folder, "ask", text="go on")
        assert first.recv(1000)
        others = [ask(folder, "ask", text="me too") for _ in range(5)]
        follower = ask(folder, "events")
        assert follower.recv(1000)
    for connection in (first, *others, follower):
        with connection:
            while connection.recv(65_536):
                pass


def test_a_client_that_left_an_endless_reply_keeps_nobody_waiting(folder: Path) -> None:
    with daemon(folder, "serving at"):
        with ask(folder, "ask", text="go on") as first:
            assert first.recv(1000)
        assert list(
            request(
                make_settings(folder).control.socket,
                {"command": "ask", "text": "next"},
                DEADLINE_SECONDS,
            )
        )


def test_while_a_manifest_is_taken_up(folder: Path) -> None:
    write_flac(folder / "a.flac", tone(20.0))
    (folder / "manifest.jsonl").write_text(
        '{"audio": "a.flac", "text": "a tone"}\n' * 5000, encoding="utf-8"
    )
    agree(folder / "state")
    with daemon(folder, "serving at"):
        enrolment = enroll(
            make_settings(folder).control.socket,
            folder / "manifest.jsonl",
            quiet_seconds=DEADLINE_SECONDS,
        )
        assert next(enrolment).message()["event"] == "enrolled"
    with pytest.raises(AttuneError):
        list(enrolment)


def test_while_a_round_labels_what_it_learns_from(tmp_path: Path) -> None:
    """The labeller is stopped first, so that a round that is being prepared need not wait for
    hundreds of utterances."""
    store = Store(tmp_path)
    for index in range(3):
        store.add_utterance(tone(0.3, 200 + 50 * index), "file")
    said_by_first_user(store)
    recognised: list[str] = []
    hearing, go_on = threading.Event(), threading.Event()

    def slow(samples: Float32) -> Transcript:
        hearing.set()
        assert go_on.wait(DEADLINE_SECONDS)
        recognised.append("one")
        return PROVEN.weigh(transcribe(samples))

    labeller = Labeller(store, Attention(), slow)
    round_ = threading.Thread(target=labeller.label, daemon=True)
    round_.start()
    assert hearing.wait(DEADLINE_SECONDS)
    labeller.stop()
    go_on.set()
    round_.join(DEADLINE_SECONDS)
    assert recognised == ["one"]
    store.close()
