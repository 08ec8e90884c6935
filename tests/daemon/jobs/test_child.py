"""The training child seen from its parent: how it ends, how it pauses, and what of it can reach the
daemon."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest

from daemon.jobs.child import LOG_NAME, MAX_LOG_BYTES, Child, Outcome
from daemon.jobs.launch import Launch, as_child
from daemon.jobs.systemd_launch import handing_over
from engines.errors import AttuneError
from engines.generations.folder import read_generation
from engines.jobs.calibration_jobs import Job
from engines.jobs.child_process import HANDED_OVER_VARIABLE, PARENT_VARIABLE
from engines.jobs.engine_jobs import EngineJob, TrialJob
from engines.jobs.handoff import REQUEST_NAME, HandedOver
from engines.jobs.messages import AdaptJob, Progress
from tests.support.fake_child import (
    DEADLINE_SECONDS,
    FAKE,
    eventually,
    has_ended,
    make_job,
    no_models,
    state_of,
)


@dataclass
class Watched:
    """A child with everything it said, and events to wait on."""

    child: Child
    said: list[Progress]
    changed: threading.Condition
    ended: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, condition: Callable[[list[Progress]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.said), DEADLINE_SECONDS)

    def outcome(self) -> Outcome:
        assert self.ended.wait(DEADLINE_SECONDS)
        outcome = self.child.poll()
        assert outcome is not None
        return outcome


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ServiceManager:
    """Starts, for each job that is handed over, what its unit would: not this process's child as
    far as the daemon knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ended = threading.Event()
        self._started: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.command: list[str] = []

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        for process in self._started:
            process.kill()
            process.wait()

    def _run(self) -> None:
        request = self.folder / REQUEST_NAME
        while not self._ended.wait(0.01):
            for process in self._started:
                process.poll()
            if not request.exists():
                continue
            asked = HandedOver.model_validate_json(request.read_bytes())
            request.unlink()
            with asked.log.open("ab") as log:
                # It connects itself: the daemon asks the socket who is at its other end.
                code = (
                    "import os, socket; end = socket.socket(socket.AF_UNIX);"
                    f" end.connect({str(asked.socket)!r})\n"
                )
                code += (
                    f"os.dup2(end.fileno(), 1); os.execv({sys.executable!r},"
                    f" {[*self.command, str(asked.job)]!r})"
                )
                environment = {
                    "PATH": os.environ["PATH"],
                    **asked.environment,
                    HANDED_OVER_VARIABLE: "1",
                }
                command = [sys.executable, "-c", code]
                self._started.append(
                    subprocess.Popen(command, stderr=log, env=environment, start_new_session=True)
                )


@pytest.fixture(params=["a child", "handed over"])
def launch(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[list[str]], Launch]]:
    """Gives how a command is started."""
    if request.param == "a child":
        yield lambda command: as_child
        return
    folder = tmp_path / "run"
    folder.mkdir()
    manager = ServiceManager(folder)

    def launch(command: list[str]) -> Launch:
        manager.command = command
        return handing_over(folder)

    yield launch
    manager.stop()


@pytest.fixture
def start(
    tmp_path: Path, launch: Callable[[list[str]], Launch]
) -> Iterator[Callable[..., Watched]]:
    started: list[Child] = []

    def start(mode: str, seconds_per_step: float = 0.0, **options: object) -> Watched:
        said: list[Progress] = []
        changed, ended = threading.Condition(), threading.Event()

        def on_progress(progress: Progress) -> None:
            with changed:
                said.append(progress)
                changed.notify_all()

        job = make_job(tmp_path)
        command = [sys.executable, str(FAKE), mode, str(seconds_per_step)]
        path, how = job.folder / "job.json", launch(command)
        told: dict[str, Any] = {"on_progress": on_progress, "on_end": ended.set, **options}
        child = Child.start(job, path, command, launch=how, **told)
        started.append(child)
        return Watched(child, said, changed, ended)

    yield start
    for child in started:
        child.kill()


def test_a_job_that_is_done(start: Callable[..., Watched], tmp_path: Path) -> None:
    watched = start("done")
    assert watched.outcome() == Outcome("done", "")
    assert [said.stage for said in watched.said][:: len(watched.said) - 1] == ["frames", "done"]
    assert read_generation(tmp_path / "generations/0001").card.recipe == "fake"
    assert AdaptJob.model_validate_json((tmp_path / "jobs/0001/job.json").read_text()) == make_job(
        tmp_path
    )


@pytest.mark.parametrize(
    ("mode", "kind", "reason"),
    [
        ("fails", "failed", "the training process failed (exit 1): the examples are empty"),
        ("raises", "failed", "the training process failed (exit 1): RuntimeError: torch is tired"),
        (
            "dies",
            "killed",
            "the training process was killed by SIGKILL during `train`; out of memory?",
        ),
    ],
)
def test_a_job_that_ends_badly_says_why_in_one_line(
    start: Callable[..., Watched], mode: str, kind: str, reason: str
) -> None:
    assert start(mode).outcome() == Outcome(kind, reason)  # type: ignore[arg-type]


def test_garbage_is_ignored(start: Callable[..., Watched]) -> None:
    watched = start("garbage")
    assert watched.outcome().kind == "done"
    assert {said.stage for said in watched.said} == {"frames", "train", "done"}


def test_a_flood_of_progress_is_borne(start: Callable[..., Watched]) -> None:
    watched = start("flood")
    assert watched.outcome().kind == "done"
    assert len(watched.said) > 10_000


def test_a_log_that_grows_too_long_begins_anew(
    start: Callable[..., Watched], tmp_path: Path
) -> None:
    watched = start("hangs-loudly")
    watched.wait_for(lambda said: said[-1:] == [Progress(stage="train", fraction=0.5, note="loud")])
    log = tmp_path / "jobs/0001" / LOG_NAME
    assert log.stat().st_size > MAX_LOG_BYTES
    assert watched.child.poll() is None
    assert log.stat().st_size == 0


def test_pause_stops_the_process_and_resume_lets_it_go_on(start: Callable[..., Watched]) -> None:
    watched = start("done", 0.01)
    watched.wait_for(lambda said: len(said) >= 3)
    watched.child.pause()
    assert watched.child.paused
    assert eventually(lambda: bool(watched.child.pause_latencies)), (
        "the kernel says that it stands still"
    )
    assert state_of(watched.child.pid) == "T"
    spent = psutil.Process(watched.child.pid).cpu_times()
    assert not watched.ended.wait(0.3), "20 steps of 10 ms would have ended"
    assert psutil.Process(watched.child.pid).cpu_times() == spent
    watched.child.pause()
    assert watched.child.pauses == 1, "a second pause is none"
    assert len(watched.child.pause_latencies) == 1
    watched.child.resume()
    assert watched.outcome().kind == "done"
    watched.child.pause()
    watched.child.resume()
    assert watched.child.pauses == 1, "the dead cannot be paused"


def test_every_pause_is_measured_also_one_that_is_taken_back_at_once(
    start: Callable[..., Watched],
) -> None:
    watched = start("done", 0.01)
    watched.wait_for(lambda said: len(said) >= 3)
    for _ in range(20):
        watched.child.pause()
        watched.child.resume()
    assert watched.outcome().kind == "done"
    assert len(watched.child.pause_latencies) == watched.child.pauses == 20


def test_a_child_that_is_told_to_leave_saves_its_checkpoint(
    start: Callable[..., Watched], tmp_path: Path
) -> None:
    watched = start("done", 0.01)
    watched.wait_for(lambda said: len(said) >= 4)
    watched.child.pause()
    assert watched.child.stop(DEADLINE_SECONDS, "memory is short") == Outcome(
        "stopped", "memory is short (saved its checkpoint)"
    )
    assert int((tmp_path / "jobs/0001/checkpoint").read_text()) >= 3
    again = start("done")
    assert again.outcome().kind == "done"
    assert int(again.said[0].note.removeprefix("from step ")) >= 3


def test_a_child_that_ignores_it_is_killed(start: Callable[..., Watched]) -> None:
    watched = start("deaf", 1.0)
    watched.wait_for(lambda said: len(said) >= 1)
    outcome = watched.child.stop(0.2, "memory is short")
    assert outcome == Outcome("stopped", "memory is short (did not end in time and was killed)")
    assert eventually(lambda: not psutil.pid_exists(watched.child.pid))
    assert watched.child.stop() == outcome


def test_a_child_that_hangs_is_killed_but_not_for_a_pause(start: Callable[..., Watched]) -> None:
    clock = Clock()
    watched = start("hangs", asleep_limit_seconds=60.0, clock=clock)
    watched.wait_for(lambda said: len(said) == 11)
    assert eventually(lambda: state_of(watched.child.pid) == "S")
    assert watched.child.poll() is None
    for clock.now in (10.0, 40.0):  # the first look is what the next is compared with
        assert watched.child.poll() is None
    watched.child.pause()
    clock.now = 5000.0
    assert watched.child.poll() is None
    watched.child.resume()
    assert eventually(lambda: state_of(watched.child.pid) == "S")
    clock.now = 5009.0
    assert watched.child.poll() is None
    assert watched.child.running_seconds == 49.0
    outcome = None
    for _ in range(100):  # a busy machine may let it end its last step only now
        clock.now += 100.0
        if (outcome := watched.child.poll()) is not None:
            break
        time.sleep(0.05)
    assert outcome is not None
    assert outcome.kind == "hung"
    said = r"the training process said nothing for \d+ s and used no processor time and was killed"
    assert re.fullmatch(said, outcome.reason)
    assert eventually(lambda: not psutil.pid_exists(watched.child.pid))


def test_a_child_that_works_is_not_hung_however_long_it_takes(
    start: Callable[..., Watched],
) -> None:
    """As one does that others keep from the processor: hours pass, in which it has a second of
    it."""
    clock = Clock()
    watched = start("works", silence_limit_seconds=60.0, asleep_limit_seconds=60.0, clock=clock)
    watched.wait_for(lambda said: len(said) == 11)
    for hour in range(20):
        clock.now = 3600.0 * hour
        assert watched.child.poll() is None


def test_a_child_that_works_for_ever_without_a_word_is_killed(
    start: Callable[..., Watched],
) -> None:
    clock = Clock()
    watched = start("works", silence_limit_seconds=0.1, clock=clock)
    watched.wait_for(lambda said: len(said) == 11)
    outcomes: list[Outcome | None] = []

    def look() -> bool:
        clock.now += 10.0
        outcomes.append(watched.child.poll())
        return outcomes[-1] is not None

    assert eventually(look)
    assert outcomes[-1] is not None
    assert re.fullmatch(
        r"the training process said nothing for \d s of processor time and was killed",
        outcomes[-1].reason,
    )
    assert eventually(lambda: not psutil.pid_exists(watched.child.pid))


def test_it_gives_way_to_everything_else_and_keeps_no_secrets(
    start: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    watched = start("hangs")
    watched.wait_for(lambda said: len(said) == 11)
    pid = watched.child.pid
    environment = psutil.Process(pid).environ()
    assert "SECRET_TOKEN" not in environment
    assert environment["OMP_NUM_THREADS"] == "3"
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert psutil.Process(pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "800\n"
    assert os.getsid(pid) == pid
    assert watched.child.poll() is None
    assert watched.child.peak_bytes > 1_000_000


def test_every_job_computes_with_its_own_threads(tmp_path: Path) -> None:
    assert all(kind.model_fields["threads"] for kind in (*get_args(Job), *get_args(EngineJob)))
    job = TrialJob(engines=no_models(tmp_path), output=tmp_path / "tried", threads=7)
    said = threading.Event()
    command = [sys.executable, str(FAKE), "hangs"]
    child = Child.start(job, tmp_path / "job.json", command, on_progress=lambda _: said.set())
    try:
        assert said.wait(DEADLINE_SECONDS)
        assert psutil.Process(child.pid).environ()["OMP_NUM_THREADS"] == "7"
    finally:
        child.kill()


def test_what_cannot_be_started(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with pytest.raises(
        AttuneError,
        match=r"training could not be started \(/no/such/program: No such file or directory\)",
    ):
        Child.start(job, job.folder / "job.json", ["/no/such/program"])


PARENT = """
import sys, threading
from pathlib import Path
from daemon.jobs.child import Child
from tests.support.fake_child import FAKE, make_job
job = make_job(Path(sys.argv[1]))
ready = threading.Event()
command = [sys.executable, str(FAKE), "done", "60"]
child = Child.start(job, job.folder / "job.json", command, on_progress=lambda progress: ready.set())
if sys.argv[2] != "paused at its start":
    ready.wait()
if sys.argv[2] != "running":
    child.pause()
print(child.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("state", ["running", "paused", "paused at its start"])
def test_it_dies_with_the_daemon(tmp_path: Path, state: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(FAKE.parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), state],
        stdout=subprocess.PIPE,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: has_ended(pid))


def test_what_was_started_by_hand_gives_way_to_nobody() -> None:
    settle = (
        "import os; from engines.jobs.child_process import settle_as_child; settle_as_child();"
        " print(os.sched_getscheduler(0) == os.SCHED_OTHER)"
    )
    done = subprocess.run([sys.executable, "-c", settle], capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_it_leaves_at_once_where_the_daemon_is_gone_already(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.folder.mkdir(parents=True)
    path = job.folder / "job.json"
    path.write_text(job.model_dump_json())
    environment = {**os.environ, PARENT_VARIABLE: "1"}
    ended = subprocess.run(
        [sys.executable, str(FAKE), "done", str(path)],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGKILL, b"")
    del environment[PARENT_VARIABLE]  # started by hand
    assert (
        subprocess.run(
            [sys.executable, str(FAKE), "done", str(path)],
            env=environment,
            stdout=subprocess.DEVNULL,
        ).returncode
        == 0
    )


def test_a_job_that_nobody_takes_is_one_clear_line(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with pytest.raises(
        AttuneError,
        match=r"no process took the job within 0 s; see `systemctl status attune-adapt\.path",
    ):
        Child.start(job, job.folder / "job.json", launch=handing_over(tmp_path, taken_seconds=0.1))
    assert not (tmp_path / REQUEST_NAME).exists(), "nobody takes it later"


def test_a_job_that_is_given_up_is_waited_for_no_longer(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with pytest.raises(AttuneError, match="no process had taken the job when it was given up"):
        Child.start(
            job,
            job.folder / "job.json",
            launch=handing_over(tmp_path, 3600.0),
            given_up=lambda: True,
        )
    assert not (tmp_path / REQUEST_NAME).exists(), "nobody takes it later"


TAKER = """
import json, os, pathlib, socket, sys, time
folder = pathlib.Path(sys.argv[2])
while not (folder / "go").exists():
    time.sleep(0.01)
asked = json.loads((folder / "adapt.job").read_text())
end = socket.socket(socket.AF_UNIX)
end.connect(asked["socket"])
end.send(b'{"status": 0}')
"""


def test_a_process_that_is_slow_to_take_a_job_is_waited_for(tmp_path: Path) -> None:
    """As the unit's is on a busy machine: it gives way to everything before it has taken
    anything."""
    job = make_job(tmp_path)
    looks: list[int] = []

    def given_up() -> bool:
        looks.append(len(looks))
        if len(looks) == 10:  # far more than the time in which somebody must have begun
            (tmp_path / "go").touch()
        return False

    with subprocess.Popen(
        [sys.executable, "-c", TAKER, "calibration.take_handoff", str(tmp_path)]
    ) as taker:
        child = Child.start(
            job, job.folder / "job.json", launch=handing_over(tmp_path, 0.1), given_up=given_up
        )
        assert child.pid == taker.pid
        taker.wait()
        assert child.kill().kind == "done"


def test_a_process_that_took_a_job_ends_with_the_daemon(tmp_path: Path) -> None:
    """As the unit runs it: on the real entry, with a job that is none, whose daemon is gone or
    goes."""
    take = [sys.executable, "-m", "calibration.take_handoff", str(tmp_path)]
    assert subprocess.run(take, check=False).returncode == 0, "there is nothing to take"
    asked = HandedOver(
        job=tmp_path / "job.json", log=tmp_path / "log", socket=tmp_path / "a.sock", environment={}
    )
    (tmp_path / REQUEST_NAME).write_text(asked.model_dump_json())
    done = subprocess.run(take, check=False, capture_output=True, text=True)
    assert (done.returncode, "is gone" in done.stderr) == (0, True)
    assert not (tmp_path / REQUEST_NAME).exists()
    (tmp_path / REQUEST_NAME).write_text("[")
    done = subprocess.run(take, check=False, capture_output=True, text=True)
    assert (done.returncode, "is no request" in done.stderr) == (1, True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.sock"))
        listener.listen()
        (tmp_path / REQUEST_NAME).write_text(asked.model_dump_json())
        os.mkfifo(tmp_path / "job.json")  # reading the job takes for ever
        process = subprocess.Popen(take)
        connection, _ = listener.accept()
        assert process.poll() is None
        connection.close()
        assert process.wait(120) == -signal.SIGKILL
