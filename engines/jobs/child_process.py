"""How a child process settles: it dies with the daemon, and runs only when nothing else wants to.
Knows no training."""

import ctypes
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

SIGTERM_EXIT = 128 + 15
"""The exit status of a child that SIGTERM ended, as a shell counts signals."""
PARENT_VARIABLE = "ATTUNE_PARENT_PID"
"""The environment variable in which the daemon gives the child its own process number."""
HANDED_OVER_VARIABLE = "ATTUNE_HANDED_OVER"
"""The environment variable of a process that took a handed-off job: its standard output is the
socket."""

_PR_SET_PDEATHSIG = 1
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_IDLE = 3 << 13
_IOPRIO_SET_SYSCALL = {"x86_64": 251, "aarch64": 30}
_OOM_SCORE = 800

_log = logging.getLogger(__name__)


def settle_as_child() -> None:
    """Settle as a background child: die with the parent, run only when processor and disk are idle,
    and be the first process that the kernel kills for memory.

    It is called before anything large is imported. Each step is tried by itself: a sandbox or
    another kernel may refuse one, which is logged and does no harm. Exits at once where the daemon
    named in PARENT_VARIABLE is gone already. What was started by hand, for no daemon, gives way to
    nobody.
    """
    die_with_parent()
    if os.environ.get(PARENT_VARIABLE) or HANDED_OVER_VARIABLE in os.environ:
        _try("idle scheduling", _idle_scheduling)
        _try("lowest priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, 19))
        _try("idle input and output", _idle_io)
        _try("out-of-memory score", lambda: _be_killed_first(Path("/proc/self/oom_score_adj")))


def die_with_parent() -> None:
    """Have the kernel kill this process when the one named in PARENT_VARIABLE ends."""
    _try("death with the parent", _die_with_parent)


def _try(name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except OSError as error:
        _log.warning("no %s for this child: %s", name, error.strerror)


def _die_with_parent() -> None:
    """Have the kernel send SIGKILL when the parent dies: that reaches a stopped process too, which
    the end of a pipe would not."""
    expected = os.environ.get(PARENT_VARIABLE, "")
    if not expected:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if expected != str(os.getppid()):  # it died before the line above
        os._exit(128 + signal.SIGKILL)


def _idle_scheduling() -> None:
    """Run in the class SCHED_IDLE, unless a unit has seen to it already: it may have forbidden its
    processes to."""
    if os.sched_getscheduler(0) != os.SCHED_IDLE:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _idle_io() -> None:
    number = _IOPRIO_SET_SYSCALL.get(os.uname().machine)
    if number is None:
        raise OSError(0, f"unknown machine {os.uname().machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_IDLE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _be_killed_first(path: Path) -> None:
    path.write_text(str(_OOM_SCORE))
