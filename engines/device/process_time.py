"""The processor time of a process and its descendants, and whether a silent process works, waits
for its turn, or hangs.

Wall time does not tell: on a machine that others keep busy, a process of low priority hardly runs.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MAY_RUN = frozenset((b"R", b"T", b"t"))
"""States of a thread, as in proc(5), in which others decide whether it gets processor time:
runnable, or stopped by a signal."""
_LOOK_SECONDS = 1.0


class HungError(Exception):
    """A process hung and was killed; the text says how long it did nothing, or worked without an
    end."""


@dataclass(frozen=True)
class Activity:
    """The activity of a process and its descendants up to one moment."""

    processor_seconds: float
    """The user and system time of those that live, and of those that ended and were waited for."""
    may_run: bool
    """Whether one of their threads is runnable, or stopped by a signal: if it gets no processor
    time, others have it."""


def activity(process: int) -> Activity | None:
    """The activity of `process`, its descendants, and its session where it leads one; None once it
    is gone."""
    everyone = _everyone()
    if process not in everyone:
        return None
    family = _family(process, everyone)
    ticks = sum(everyone[member].ticks for member in family)
    return Activity(ticks / _TICKS_PER_SECOND, any(_may_run(member) for member in family))


class Patience:
    """Tells a process that hangs from one that is slow, by looking at it from time to time.

    A process hangs where it used `processor_limit_seconds` since it last said something, or where
    it had no processor time for `asleep_limit_seconds` and wanted none. A process that others keep
    from the processor, or that is stopped, never counts as hung.
    """

    def __init__(
        self, process: int, processor_limit_seconds: float, asleep_limit_seconds: float
    ) -> None:
        self._process = process
        self._processor_limit_seconds = processor_limit_seconds
        self._asleep_limit_seconds = asleep_limit_seconds
        self._used_at_word: float | None = None
        self._used = 0.0
        self._looked_at = 0.0
        self._asleep_seconds = 0.0

    def renew(self) -> None:
        """Count everything anew from the next look on: the process has said something."""
        self._used_at_word = None

    def look(self, now_seconds: float) -> str:
        """The reason why the process counts as hung, for people; empty where it does not.
        `now_seconds` is by any clock that stands still while the process is stopped on purpose."""
        seen = activity(self._process)
        if seen is None:
            return ""
        if self._used_at_word is None:
            self._used_at_word = self._used = seen.processor_seconds
            self._looked_at, self._asleep_seconds = now_seconds, 0.0
            return ""
        did_something = seen.may_run or seen.processor_seconds > self._used
        self._asleep_seconds = (
            0.0 if did_something else self._asleep_seconds + now_seconds - self._looked_at
        )
        self._used, self._looked_at = max(self._used, seen.processor_seconds), now_seconds
        silent_seconds = self._used - self._used_at_word
        if silent_seconds > self._processor_limit_seconds:
            return f"said nothing for {silent_seconds:.0f} s of processor time"
        if self._asleep_seconds > self._asleep_limit_seconds:
            return f"said nothing for {self._asleep_seconds:.0f} s and used no processor time"
        return ""


def run_to_its_end(
    command: Sequence[str], given: bytes = b"", *, processor_seconds: float, asleep_seconds: float
) -> "subprocess.CompletedProcess[bytes]":
    """Run `command` with `given` as its standard input, and return what it prints.

    Raises HungError, with the process killed, where it works for longer than `processor_seconds` or
    sleeps for `asleep_seconds`, however busy the machine is. Raises OSError where it cannot be
    started.
    """
    # A pipe would have to be written to while the process is waited for.
    with TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        with subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            patience = Patience(process.pid, processor_seconds, asleep_seconds)
            try:
                while True:
                    with suppress(subprocess.TimeoutExpired):
                        printed, complaints = process.communicate(timeout=_LOOK_SECONDS)
                        return subprocess.CompletedProcess(
                            command, process.returncode, printed, complaints
                        )
                    if why := patience.look(time.monotonic()):
                        raise HungError(why)
            finally:
                process.kill()  # does nothing to one that has ended


@dataclass(frozen=True)
class _Stat:
    parent: int
    session: int
    ticks: int


def _everyone() -> dict[int, _Stat]:
    """Every process that this one may see, by its number."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = _read_stat(Path(entry.path, "stat"))
    return found


def _read_stat(path: Path) -> _Stat:
    fields = _fields(path)
    return _Stat(parent=int(fields[1]), session=int(fields[3]), ticks=sum(map(int, fields[11:15])))


def _fields(path: Path) -> list[bytes]:
    """The fields of a stat file from the state on, which is the third in proc(5): the name before
    it may hold any bytes."""
    return path.read_bytes().rpartition(b")")[2].split()


def _family(process: int, everyone: dict[int, _Stat]) -> set[int]:
    children: dict[int, list[int]] = {}
    for number, stat in everyone.items():
        children.setdefault(stat.parent, []).append(number)
    left = [process, *(number for number, stat in everyone.items() if stat.session == process)]
    family: set[int] = set()
    while left:
        member = left.pop()
        if member not in family:
            family.add(member)
            left += children.get(member, [])
    return family


def _may_run(process: int) -> bool:
    for thread in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):
            if _fields(thread)[0] in _MAY_RUN:
                return True
    return False
