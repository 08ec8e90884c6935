"""A daemon that is killed around the end of a timer, thirty times: no timer is lost, and none rings
anew once it was stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.client.socket_client import request
from tests.support.running_daemon import folder, make_settings

__all__ = ["folder"]

ROUNDS = 30
SECONDS = 2.0


@contextmanager
def process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    settings = make_settings(folder)
    environment = {
        **os.environ,
        "ATTUNE__STATE_DIR": str(settings.state_dir),
        "ATTUNE__CONTROL__SOCKET": str(settings.control.socket),
        "ATTUNE__AUDIO__SOURCE": "none",
        "ATTUNE__SPEAKING__VOICE": "none",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.tiny_daemon"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert "serving at" in line, line + running.stderr.read()
        try:
            yield running
        finally:
            running.kill()
            running.wait(120)


def alarms(folder: Path) -> list[str]:
    [status] = request(make_settings(folder).control.socket, {"command": "status"}, 120)
    return list(status["alarms"])


def ask(folder: Path, text: str) -> str:
    *_, turn = request(make_settings(folder).control.socket, {"command": "ask", "text": text}, 120)
    return str(turn["reply"])


@pytest.mark.slow
def test_no_timer_is_lost_and_none_rings_twice(folder: Path) -> None:
    rng = random.Random(5)
    rung = 0
    for _ in range(ROUNDS):
        with process(folder) as running:
            assert ask(folder, f"set a timer for {SECONDS:g} seconds") == (
                "Timer set for 2 seconds."
            )
            time.sleep(rng.uniform(SECONDS - 0.3, SECONDS + 0.3))
            running.send_signal(signal.SIGKILL)
            running.wait(120)
        with process(folder):
            until = time.monotonic() + 60
            while not any("is over" in one for one in alarms(folder)):
                assert time.monotonic() < until, "the timer is lost"
                time.sleep(0.05)
            rung += 1
            assert ask(folder, "stop") == ""
            assert alarms(folder) == []
        with process(folder):
            time.sleep(0.2)
            assert alarms(folder) == [], "the timer rings anew"
    assert rung == ROUNDS
