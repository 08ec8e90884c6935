"""A whole daemon on a machine with a GPU, as far as its children can tell: whatever becomes of the
plan, speech is answered."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.app import App, Surroundings
from daemon.attention import Attention
from daemon.client.socket_client import ask_for, request
from daemon.client.temporary_daemon import private_daemon
from daemon.clocks import Clocks
from daemon.control.requests import GetStatus
from daemon.events.bus import Events
from daemon.events.event import Event
from daemon.events.learning import EncoderChanged
from daemon.events.service import Status
from daemon.jobs.engine_builds import ENGINE_COMMAND, ChildLimits, EngineBuilds
from engines.device.runtimes import (
    CLAIMS,
    LANGUAGE_MODEL,
    Trial,
    keep_runtimes,
    read_runtimes,
    runtimes_path,
)
from engines.jobs.child_process import PARENT_VARIABLE
from engines.models.general_speech import read_prompts
from engines.whisper.plan_cache import plans_folder
from tests.bench.world import fresh_state, settings_of
from tests.support.fake_child import eventually, no_models
from tests.support.fakes import fake_models
from tests.support.gpu_board import FAKES, driver
from tests.support.places import cache_dir
from tests.support.running_daemon import folder, make_settings
from tests.support.small_encoder import write_small_encoder

__all__ = ["driver", "folder"]


@dataclass
class Desk:
    """A keeper, and everything it did."""

    folder: Path
    encoder: Path
    driver: Path
    odd: dict[str, str] = field(default_factory=dict)
    busy: bool = False
    by_plan: bool = False
    reopened: int = 0
    now: float = 1000.0
    threads: int = 1
    limits: ChildLimits = field(default_factory=ChildLimits)
    command: tuple[str, ...] = ENGINE_COMMAND

    def __post_init__(self) -> None:
        self.events, self.attention = Events(), Attention()
        self.told: list[Event] = []
        self.events.subscribe(Event, self.told.append)

    def keeper(self) -> EngineBuilds:
        shown = [f"{name}={value}" for name, value in self.odd.items()]
        libraries = [f"LD_LIBRARY_PATH={self.driver}", f"PYTHONPATH={FAKES}:{FAKES.parent.parent}"]
        return EngineBuilds(
            no_models(self.folder / "models").model_copy(update={"encoder": self.encoder}),
            "auto",
            self.folder,
            self.attention,
            self.events,
            threads=self.threads,
            served_by_plan=lambda: self.by_plan,
            reopen=self.reopen,
            may_run=lambda: not self.busy,
            limits=self.limits,
            clocks=Clocks(lambda: self.now, lambda: self.now),
            # As if started by hand: a child of a daemon's gives way to all that runs here.
            command=["env", f"--unset={PARENT_VARIABLE}", *libraries, *shown, *self.command],
        )

    def reopen(self) -> None:
        self.reopened += 1
        self.by_plan = True


@pytest.fixture
def desk(tmp_path: Path, driver: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The process of the test itself sees the same GPU and the same library as its children. The
    other engines were tried already."""
    monkeypatch.syspath_prepend(str(FAKES))
    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorrt", "cuda")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("engines.device.gpu._DRIVER", str(driver / "libcuda.so.1"))
    found = Desk(tmp_path, write_small_encoder(tmp_path / "encoder.onnx"), driver)
    keep_runtimes(runtimes_path(tmp_path), [Trial(claim=claim, held=False) for claim in CLAIMS])
    yield found
    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorrt", "cuda")]:
        del sys.modules[name]


def plans(desk: Desk) -> list[str]:
    return sorted(path.suffix for path in plans_folder(desk.folder).glob("*.plan"))


def test_a_plan_is_built_and_the_engines_opened_with_it(desk: Desk) -> None:
    keeper = desk.keeper()
    keeper.step()
    assert plans(desk) == [".plan"]
    assert desk.reopened == 1
    [event] = desk.told
    assert isinstance(event, EncoderChanged)
    assert event.by_plan
    assert event.why.startswith("TensorRT 10.3.0 in float32")
    keeper.step()
    assert desk.reopened == 1, "once is enough"


def test_nothing_is_done_while_somebody_else_needs_the_machine(desk: Desk) -> None:
    desk.busy = True
    desk.keeper().step()
    assert plans(desk) == []
    assert desk.told == []


@pytest.mark.parametrize(
    ("odd", "limits", "said"),
    [
        ("build=fails", ChildLimits(), "no tactic fits the workspace"),
        ("build=dies", ChildLimits(), "killed by SIGKILL"),
        ("build=hangs", ChildLimits(asleep_seconds=3.0), "said nothing for"),
        ("open=crashes", ChildLimits(), "killed by SIGSEGV"),
        ("frames=wrong", ChildLimits(), "stray from ONNX Runtime's"),
        ("build=hangs", ChildLimits(peak_bytes=1 << 20), "1 MiB allowed"),
    ],
)
def test_what_goes_wrong_is_said_once_and_made_good_when_its_cause_is_gone(
    desk: Desk, odd: str, limits: ChildLimits, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.odd, desk.limits = ({"FAKE_TENSORRT": odd} if odd else {}), limits
    # The clock of the keeper must move for a child to be silent too long.
    if limits.asleep_seconds < 10:
        ticking = threading.Event()
        threading.Thread(target=_tick, args=(desk, ticking), daemon=True).start()
    keeper = desk.keeper()
    keeper.step()
    if limits.asleep_seconds < 10:
        ticking.set()
    assert desk.reopened == 0
    [event] = desk.told
    assert isinstance(event, EncoderChanged)
    assert said in event.why
    assert caplog.text.count("the encoder's plan is not used") == 1
    keeper.step()
    assert len(desk.told) == 1, "not tried again at once"
    desk.odd, desk.limits, desk.now = {}, ChildLimits(), desk.now + 700.0
    desk.keeper().step()
    assert desk.reopened == 1
    assert plans(desk) == [".plan"]


NOTES_THREADS = (
    "import os, shutil, sys; shutil.copy(sys.argv[1], os.path.dirname(sys.argv[1]) + '/seen.json');"
    " open(os.path.dirname(sys.argv[1]) + '/seen.threads',"
    " 'w').write(os.environ['OMP_NUM_THREADS']); sys.exit(1)"
)
"""A child that keeps what it was told, and fails."""


def test_children_compute_with_the_threads_that_are_set(desk: Desk) -> None:
    desk.threads, desk.command = 5, (sys.executable, "-c", NOTES_THREADS)
    desk.keeper().step()
    seen = plans_folder(desk.folder)
    assert json.loads((seen / "seen.json").read_text())["threads"] == 5
    assert (seen / "seen.threads").read_text() == "5"


def test_a_daemon_tries_engines_with_the_threads_of_its_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.engine_builds.has_gpu", lambda: True)
    settings = make_settings(folder, engines__threads=5)
    surroundings = Surroundings(
        open_models=fake_models, engine_command=(sys.executable, "-c", NOTES_THREADS)
    )
    with App(settings, surroundings) as app:
        app.parts.engine_builds.step()
    assert json.loads((plans_folder(settings.cache_dir) / "seen.json").read_text())["threads"] == 5


COMPUTES = (
    "import sys; from pathlib import Path; from engines.jobs.engine_jobs import TrialJob; "
    "from engines.jobs.messages import Progress; "
    "from engines.device.runtimes import LANGUAGE_MODEL, Trial, keep_runtimes; "
    "job = TrialJob.model_validate_json(Path(sys.argv[1]).read_bytes()); "
    "keep_runtimes(job.output, [Trial(claim=LANGUAGE_MODEL, held=True)]); "
    "print(Progress(stage='done', fraction=1.0).model_dump_json())"
)
"""A child that knows of nothing but trials, and that llama.cpp computes on the GPU."""


def test_engines_that_compute_on_the_gpu_are_opened_there_once_they_were_tried(desk: Desk) -> None:
    desk.by_plan = True
    runtimes_path(desk.folder).unlink()
    desk.keeper().step()
    tried = read_runtimes(runtimes_path(desk.folder))
    assert tried is not None
    assert not tried.on_gpu(LANGUAGE_MODEL)
    assert "built without CUDA" in tried.why(LANGUAGE_MODEL)
    assert desk.reopened == 0

    runtimes_path(desk.folder).unlink()  # as after a start of the machine
    desk.command = (sys.executable, "-c", COMPUTES)
    keeper = desk.keeper()
    keeper.step()
    assert desk.reopened == 1
    keeper.step()
    assert desk.reopened == 1, "once is enough"


def test_a_trial_that_fails_is_not_made_again_before_the_machine_starts_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.by_plan = True
    desk.keeper().step()
    runtimes_path(desk.folder).unlink()
    desk.command = (sys.executable, "-c", "raise SystemExit(3)")
    keeper = desk.keeper()
    keeper.step()
    keeper.step()
    assert caplog.text.count("is not known until the machine starts again") == 1
    assert desk.reopened == 0


def _tick(desk: Desk, done: threading.Event) -> None:
    while not done.wait(0.1):
        desk.now += 0.2


def test_a_build_stands_still_while_somebody_speaks(desk: Desk) -> None:
    desk.odd = {"FAKE_TENSORRT": "build=hangs"}
    keeper = desk.keeper()
    thread = threading.Thread(target=keeper.step)
    thread.start()
    pid = _pid_of(desk)
    desk.attention.begin()
    assert eventually(lambda: _state(pid) == "T")
    desk.attention.end()
    assert eventually(lambda: _state(pid) in "SRD")
    keeper.stop()
    thread.join(120)
    assert not thread.is_alive()
    assert not Path(f"/proc/{pid}").exists()
    assert desk.told == [], "the daemon ends; the plan is not to blame"


def _pid_of(desk: Desk) -> int:
    found: list[int] = []

    def look() -> bool:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if (
                b"-m\0engines\0" in command
                and str(desk.folder).encode() in command
                and not command.startswith(b"env")
            ):
                found.append(int(entry.name))
        return bool(found)

    assert eventually(look)
    return found[0]


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


@pytest.mark.slow
def test_a_daemon_of_real_models_comes_to_serve_through_its_plan(
    tmp_path_factory: pytest.TempPathFactory,
    driver: Path,
    general_speech: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, cache = tmp_path_factory.mktemp("p"), cache_dir()
    (folder / "cache" / "engines").mkdir(parents=True)
    (folder / "cache" / "models").symlink_to(cache / "models")
    for path in [*(cache / "engines").glob("*.gguf"), *(cache / "engines").glob("*.encoder.onnx")]:
        (folder / "cache" / "engines" / path.name).symlink_to(path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    monkeypatch.setenv("PYTHONPATH", f"{FAKES}:{FAKES.parent.parent}")
    socket = folder / "a.sock"
    environment = settings_of(fresh_state(folder / "state"), socket, CACHE_DIR=folder / "cache")
    said = read_prompts(general_speech)[0].audio
    with private_daemon(environment, folder / "daemon.log") as status:
        assert "ONNX" in status.encoder

        def heard() -> str:
            return str(
                list(request(socket, {"command": "ask", "audio": said, "route": "aligned"}))[-1][
                    "heard"
                ]
            )

        before = heard()
        deadline = time.monotonic() + 180
        while status.encoder != "TensorRT" and time.monotonic() < deadline:
            time.sleep(2)
            status = ask_for(Status, socket, GetStatus())
        assert status.encoder == "TensorRT", (folder / "daemon.log").read_text()
        assert heard() == before
