"""Writers and pointers under SIGKILL at random moments, and without room on the disk: whole
generations or none."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.generations.folder import Generation, list_generations, sweep
from engines.generations.pointers import promote
from tests.support.generations import numbers, write
from tests.support.places import PROJECT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "generations"


KILLED = """
import itertools, os, sys
from pathlib import Path
from engines.generations.card import Card
from engines.errors import AttuneError
from engines.generations.folder import next_number, write_generation
from engines.generations.pointers import promote, rollback
root = Path(sys.argv[2])
source = root.parent / "sources" / "projector.onnx"
files = {"projector.onnx": source, "projector.safetensors": source}
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        break
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
for turn in itertools.count() if pid == 0 else ():
    if sys.argv[1] == "write":
        number = next_number(root)
        card = Card(number=number, parent=0, created_at="", recipe="test")
        write_generation(root, number, card, files)
    else:
        promote(root, turn % 3)
        if turn % 5 == 4:
            try:
                rollback(root)
            except AttuneError:
                pass
"""


FULL = """
import resource, sys
from pathlib import Path
from engines.generations.card import Card
from engines.generations.folder import write_generation
root, source = Path(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
card = Card(number=1, parent=0, created_at="", recipe="test")
write_generation(root, 1, card, {"projector.onnx": source})
"""


def test_a_disk_without_room_leaves_nothing_and_says_so(root: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the same write fails, half way
    through."""
    write(root, 0)
    large = tmp_path / "large"
    large.write_bytes(b"x" * 100_000)
    command = [sys.executable, "-c", FULL, str(root), str(large)]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stderr.strip().splitlines()[-1]
    assert said.startswith("engines.errors.AttuneError: generation ")
    assert said.endswith("File too large); nothing was changed")
    assert [path.name for path in root.iterdir()] == ["0000"]


def kill_at_random_moments(root: Path, what: str, times: int, seed: int) -> Iterator[None]:
    """Run KILLED in a process that is killed after up to 50 ms, so many times; yields after
    each."""
    draw = random.Random(seed)
    command = [sys.executable, "-c", KILLED, what, str(root)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as forker:
        assert forker.stdin is not None
        assert forker.stdout is not None
        for _ in range(times):
            forker.stdin.write(b"go\n")
            forker.stdin.flush()
            pid = int(forker.stdout.readline())
            time.sleep(draw.uniform(0.0, 0.05))  # the random moment: there is nothing to wait for
            os.kill(pid, signal.SIGKILL)
            assert forker.stdout.readline() == b"gone\n"
            yield


KILLED_AT_A_STEP = """
import os, signal, sys
from pathlib import Path
from engines.generations.card import Card
from engines.generations.folder import next_number, write_generation
from engines.generations.pointers import promote, rollback
root = Path(sys.argv[1])
source = root.parent / "sources" / "projector.onnx"
files = {"projector.onnx": source, "projector.safetensors": source}

# called by the interpreter before it opens, makes, renames, links or removes anything
def steps_left(event, arguments):
    global left
    if event == "open" or event.startswith(("os.", "tempfile.")):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    what, step = line.split()
    pid = os.fork()
    if pid == 0:
        number = next_number(root)
        card = Card(number=number, parent=0, created_at="", recipe="test")
        left = int(step)
        sys.addaudithook(steps_left)
        if what == "write":
            write_generation(root, number, card, files)
        elif what == "promote":
            promote(root, 2)
        else:
            rollback(root)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print("killed" if status else "finished", flush=True)
"""


def kill_at_every_step(root: Path, what: str) -> Iterator[int]:
    """Do `what` again and again, each time killed one file operation later, until it gets to its
    end; yields after each."""
    command = [sys.executable, "-c", KILLED_AT_A_STEP, str(root)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as forker:
        assert forker.stdin is not None
        assert forker.stdout is not None
        for step in range(200):
            forker.stdin.write(f"{what} {step}\n".encode())
            forker.stdin.flush()
            ended = forker.stdout.readline()
            yield step
            if ended == b"finished\n":
                return
            assert ended == b"killed\n"
    raise AssertionError("it never got to its end")


def test_a_writer_killed_at_every_step_leaves_a_whole_generation_or_none(root: Path) -> None:
    write(root, 0)
    kills = -1
    for _ in kill_at_every_step(root, "write"):
        assert all(isinstance(entry, Generation) for entry in list_generations(root))
        kills += 1
    assert kills > 10
    assert len(list_generations(root)) > 1, "it got to its end"
    assert sweep(root)
    assert all(path.name.isdigit() for path in root.iterdir())


@pytest.mark.parametrize(
    ("what", "allowed", "last"),
    [("promote", {(1, 0), (1, 1), (2, 1)}, (2, 1)), ("rollback", {(1, 0), (0, 0)}, (0, 0))],
)
def test_pointers_lead_somewhere_at_every_step(
    root: Path, what: str, allowed: set[tuple[int, int]], last: tuple[int, int]
) -> None:
    for number in range(3):
        write(root, number)
    promote(root, 0)
    promote(root, 1)
    seen = []
    for _ in kill_at_every_step(root, what):
        seen.append(numbers(root))
        if seen[-1] != (1, 0):  # begin again
            promote(root, 0)
            promote(root, 1)
    assert set(seen) <= allowed
    assert len(seen) > 10, "it was killed on the way"
    assert seen[-1] == last


def test_a_writer_killed_thirty_times_leaves_no_half_generation(root: Path) -> None:
    write(root, 0)
    for _ in kill_at_random_moments(root, "write", 30, seed=1):
        assert all(isinstance(entry, Generation) for entry in list_generations(root))
    kept = list_generations(root)
    assert len(kept) > 1, "the writers got somewhere"
    assert sweep(root), "some were killed on the way"
    assert all(path.name.isdigit() for path in root.iterdir())
    assert list_generations(root) == kept


def test_pointers_moved_by_a_process_killed_thirty_times_always_lead_somewhere(root: Path) -> None:
    for number in range(3):
        write(root, number)
    promote(root, 0)
    promote(root, 1)
    seen = {numbers(root)}
    for _ in kill_at_random_moments(root, "point", 30, seed=2):
        assert None not in numbers(root)
        seen.add(numbers(root))
    assert len(seen) > 2, "the pointers moved"
    sweep(root)
    assert sorted(path.name for path in root.parent.iterdir()) == [
        "current",
        "generations",
        "previous",
        "sources",
    ]
