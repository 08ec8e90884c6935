"""The programs that another process starts by the name of their module. No import leads to them,
but a search for these names does.

The unit attune-adapt.service, the Makefile and the packages name some of them, too.
"""

import sys

COMMAND_LINE = "daemon.cli"
ENGINE_JOB = "engines"
"""Runs one job of the engines: a plan, or trials of the runtimes."""
CLAIM = "engines.selftest.runner"
PLAYER = "daemon.speaking.player"
"""Plays on a loudspeaker."""
VOICE = "engines.voices.voice_process"
"""Says texts by one voice."""
CPU_FEATURES = "engines.device.cpu_features"
CALIBRATION_JOB = "calibration"
"""Runs one job of calibration: a round's next stage, a corpus, a base, a measurement, a
benchmark."""
CALIBRATION_JOB_BY_TORCHRUN = "calibration.torchrun"
"""Runs one job of calibration in several processes."""
TAKE_HANDOFF = "calibration.take_handoff"
DEMO_SPEAKERS = "calibration.corpus.demo_speakers"
SCORE = "calibration.evaluation.score"


def program(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` with the interpreter of this process."""
    return [sys.executable, "-m", module, *arguments]
