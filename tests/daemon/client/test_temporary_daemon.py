"""A daemon of the demo's or a benchmark's own ends with them."""

import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.fake_child import eventually, has_ended

STARTS_ONE = """
import signal, time
from daemon.jobs.launch import start_on_leash
process = start_on_leash(["sleep", "1000"], signal.SIGTERM)
print(process.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_on_a_leash_ends_with_the_one_that_started_it(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)
        owner.send_signal(number)
    assert eventually(lambda: has_ended(pid))
