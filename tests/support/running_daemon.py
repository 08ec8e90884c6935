"""A whole daemon on tiny engines, started by tests in their own process."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.app import App, Surroundings
from daemon.client.enrolling import enroll as enroll_manifest
from daemon.client.socket_client import request
from daemon.clocks import REAL_TIME, Clocks
from daemon.config.settings import Settings
from daemon.config.sources import load_settings
from daemon.control.server import Message
from daemon.serving.models import ServingModels
from daemon.store.store import DATABASE
from daemon.training.idle import Board
from daemon.users.recognition import PrintOf, open_model
from engines.audio.recordings import write_flac
from engines.jobs.footprints import footprints_path, write_footprints
from tests.daemon.training.test_memory_plan import FOOTPRINTS
from tests.support.consent import agree
from tests.support.fake_child import FAKE
from tests.support.fakes import fake_models, tone


def make_settings(folder: Path, **flags: object) -> Settings:
    base: dict[str, object] = {
        "state_dir": folder / "state",
        "cache_dir": folder / "cache",
        "control.socket": folder / "run" / "a.sock",
        "audio.source": "none",
        "speaking.voice": "none",
        "budget.bytes": 2**50,  # the memory of the machine that tests is not what is tested
    }
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(Path(os.devnull), {**base, **named}, {}).settings


def measured(cache_dir: Path) -> None:
    """Keep that rounds of models with nothing in them were measured."""
    write_footprints(footprints_path(cache_dir), FOOTPRINTS)


class Daemon:
    """A daemon in this process, and a client of it."""

    def __init__(
        self,
        settings: Settings,
        mode: str,
        open_models: Callable[[Settings], ServingModels],
        clocks: Clocks = REAL_TIME,
        open_voiceprints: Callable[[], PrintOf] = open_model,
    ) -> None:
        self.settings = settings
        self.app = App(
            settings,
            Surroundings(
                open_models=open_models,
                round_command=(sys.executable, str(FAKE), mode, "0.01"),
                clocks=clocks,
                open_voiceprints=open_voiceprints,
            ),
        )

    def do(self, command: str, **arguments: object) -> list[Message]:
        """The events of a command; a recording is given as its Path."""
        return list(request(self.settings.control.socket, {"command": command, **arguments}, 120))

    def enroll(self, manifest: Path, replace: bool = False) -> list[Message]:
        """The events of an enrolment."""
        events = enroll_manifest(self.settings.control.socket, manifest, replace, 120)
        return [event.message() for event in events]

    def status(self) -> Message:
        return self.do("status")[0]


Start = Callable[..., Daemon]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")  # short: the path of a socket holds 107 bytes


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    # Rounds must not depend on how busy the machine is that runs the tests.
    monkeypatch.setattr(
        "daemon.training.round_inputs.read_board",
        lambda _: Board(available_bytes=10**10, disk_free_bytes=10**10),
    )
    with ExitStack() as stack:

        def run(
            mode: str = "done",
            open_models: Callable[[Settings], ServingModels] = fake_models,
            clocks: Clocks = REAL_TIME,
            agreed: bool = True,
            open_voiceprints: Callable[[], PrintOf] = open_model,
            **flags: object,
        ) -> Daemon:
            if not footprints_path(folder / "cache").exists():
                measured(folder / "cache")
            daemon = Daemon(
                make_settings(folder, **flags), mode, open_models, clocks, open_voiceprints
            )
            if agreed and not (daemon.settings.state_dir / DATABASE).exists():
                agree(daemon.settings.state_dir)
            stack.enter_context(daemon.app)
            return daemon

        yield run


def enroll(daemon: Daemon, folder: Path, count: int = 20) -> list[Message]:
    rows = []
    for index in range(count):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "manifest.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return daemon.enroll(folder / "manifest.jsonl")
