"""The level of the microphone is read only while somebody watches."""

import numpy as np
import pytest

from daemon.listening.level import LevelMeter


def test_levels_reach_those_who_watch() -> None:
    meter = LevelMeter()
    seen: list[float] = []
    loud = np.full(512, 0.1, np.float32)
    meter.push(loud)
    with meter.watched(seen.append), meter.watched(lambda db: None):
        for _ in range(7):
            meter.push(loud)
    meter.push(loud)
    assert seen == [pytest.approx(-20.0), pytest.approx(-20.0)]
    with meter.watched(seen.append):
        for _ in range(3):
            meter.push(np.zeros(512, np.float32))
    assert seen[-1] < -90
