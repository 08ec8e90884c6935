"""Whether a silent process hangs, told by its processor time: the clock of these tests says
whatever it likes."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engines.device.process_time import HungError, Patience, activity, run_to_its_end
from tests.support.fake_child import eventually, state_of

SPIN = "while True: pass"
SLEEP = "import signal; signal.pause()"
HOURS = 100_000.0
Start = Callable[[str], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program in a session of its own; returns its process number."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> int:
        process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        started.append(process)
        return process.pid

    yield start
    for process in started:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()


def used(process: int) -> float:
    seen = activity(process)
    assert seen is not None
    return seen.processor_seconds


def test_one_that_wants_the_processor_is_not_hung_however_late_it_is(start: Start) -> None:
    process = start(SPIN)
    assert eventually(lambda: used(process) > 0.5), (
        "it spins, and no longer reads its program from the disk"
    )
    patience = Patience(process, processor_limit_seconds=HOURS, asleep_limit_seconds=60.0)
    for hour in range(20):
        assert patience.look(3600.0 * hour) == ""


def test_one_that_works_without_a_word_for_too_long_is_hung(start: Start) -> None:
    patience = Patience(start(SPIN), processor_limit_seconds=0.3, asleep_limit_seconds=HOURS)
    assert patience.look(0.0) == ""
    assert eventually(lambda: patience.look(0.0) == "said nothing for 0 s of processor time")
    patience.renew()
    assert patience.look(0.0) == "", "a word is a new beginning"


def test_one_that_sleeps_for_too_long_is_hung(start: Start) -> None:
    process = start(SLEEP)
    assert eventually(lambda: state_of(process) == "S")
    patience = Patience(process, processor_limit_seconds=0.1, asleep_limit_seconds=60.0)
    assert [patience.look(now) for now in (0.0, 59.0)] == ["", ""]
    assert patience.look(61.0) == "said nothing for 61 s and used no processor time"


def test_one_that_somebody_stopped_is_not_hung(start: Start) -> None:
    process = start(SPIN)
    psutil.Process(process).send_signal(signal.SIGSTOP)
    assert eventually(lambda: state_of(process) == "T")
    patience = Patience(process, processor_limit_seconds=HOURS, asleep_limit_seconds=60.0)
    assert [patience.look(now) for now in (0.0, HOURS)] == ["", ""]


@pytest.mark.parametrize("apart", [False, True])
def test_what_it_started_works_for_it(start: Start, apart: bool) -> None:
    """As a synthesizer does, or a worker in a session of its own."""
    spin = [sys.executable, "-c", SPIN]
    process = start(f"import subprocess; subprocess.run({spin!r}, start_new_session={apart})")
    assert eventually(
        lambda: len(psutil.Process(process).children()) == 1 and state_of(process) == "S"
    )
    assert eventually(lambda: used(process) > 0.5)
    patience = Patience(process, processor_limit_seconds=HOURS, asleep_limit_seconds=60.0)
    assert [patience.look(now) for now in (0.0, HOURS)] == ["", ""]


def test_what_it_waited_for_still_counts(start: Start, tmp_path: Path) -> None:
    done = tmp_path / "done"
    work = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"]
    process = start(
        f"import pathlib, signal, subprocess; subprocess.run({work!r});"
        f" pathlib.Path({str(done)!r}).touch(); signal.pause()"
    )
    assert eventually(done.exists)
    assert used(process) >= 0.5


def test_a_process_may_have_any_name(start: Start) -> None:
    name = b"a) b (\xff"
    process = start(f"import signal; open('/proc/self/comm', 'wb').write({name!r}); signal.pause()")
    assert eventually(lambda: Path(f"/proc/{process}/comm").read_bytes() == name + b"\n")
    seen = activity(process)
    assert seen is not None
    assert seen.processor_seconds < 60.0


def test_one_that_is_gone_is_not_hung(start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert activity(process.pid) is None
    assert Patience(process.pid, 0.0, 0.0).look(HOURS) == ""


def test_a_command_runs_to_its_end() -> None:
    done = run_to_its_end(["cat"], b"words", processor_seconds=60.0, asleep_seconds=60.0)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"words", b"")
    failed = run_to_its_end(
        ["sh", "-c", "echo no >&2; exit 3"], processor_seconds=60.0, asleep_seconds=60.0
    )
    assert (failed.returncode, failed.stderr) == (3, b"no\n")


def test_a_command_that_is_slow_to_read_gets_all_that_it_is_given() -> None:
    slow = "import sys, time\nwhile time.process_time() < 1.5: pass\nprint(len(sys.stdin.read()))"
    done = run_to_its_end(
        [sys.executable, "-c", slow], b"x" * 1_000_000, processor_seconds=60.0, asleep_seconds=60.0
    )
    assert done.stdout == b"1000000\n"


@pytest.mark.parametrize(
    ("program", "said"), [(SPIN, "of processor time"), (SLEEP, "used no processor time")]
)
def test_a_command_that_hangs_is_killed(program: str, said: str) -> None:
    command = [sys.executable, "-c", program]
    with pytest.raises(HungError, match=said):
        run_to_its_end(command, processor_seconds=0.1, asleep_seconds=0.1)
    assert not any(process.cmdline() == command for process in psutil.Process().children())
