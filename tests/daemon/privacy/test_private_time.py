"""The time in which nothing is kept: it ends when it should, and not because of a restart."""

from pathlib import Path

import pytest

from daemon.privacy.private_time import PrivateTime
from daemon.store.store import Store
from tests.support.simulated_time import Time


def test_it_ends_after_its_time_or_when_it_is_ended(tmp_path: Path) -> None:
    time = Time()
    store = Store(tmp_path, time.clocks)
    private = PrivateTime(store)
    assert private.left_seconds == 0
    private.begin(3600)
    time.passes(3599)
    assert private.left_seconds == pytest.approx(1)
    time.passes(2)
    assert private.left_seconds == 0
    private.begin(60)
    private.end()
    assert private.left_seconds == 0
    store.close()


def test_a_restart_does_not_end_it_and_a_clock_that_is_set_neither(tmp_path: Path) -> None:
    time = Time()
    store = Store(tmp_path, time.clocks)
    private = PrivateTime(store)
    private.begin(3600)
    time.wall += 86400  # somebody sets the clock
    assert private.left_seconds == pytest.approx(3600)
    time.wall -= 86400
    store.close()
    time.reboots(seconds_off=600)
    store = Store(tmp_path, time.clocks)
    private = PrivateTime(store)
    assert private.left_seconds == pytest.approx(3000)
    private.end()
    store.close()
    store = Store(tmp_path, time.clocks)
    assert PrivateTime(store).left_seconds == 0
    store.close()


def test_after_a_restart_with_a_wrong_clock_it_does_not_last_for_ever(tmp_path: Path) -> None:
    time = Time()
    store = Store(tmp_path, time.clocks)
    PrivateTime(store).begin(3600)
    store.close()
    time.reboots(seconds_off=60, wall=1_000.0)
    store = Store(tmp_path, time.clocks)
    assert 0 < PrivateTime(store).left_seconds <= 100 * 3600
    store.close()
