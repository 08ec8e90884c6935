"""Programs that another process starts by the name of their module: no import leads to them, a
search for these names does.

The unit attune-adapt.service, the Makefile and the packages name some of them, too.
"""

import sys

COMMAND_LINE = "daemon.cli"
ENGINE_JOB = "engines"
"""One job of the engines: a plan, or trials of the runtimes."""
CLAIM = "engines.selftest.runner"
CPU_FEATURES = "engines.device.cpu_features"
CALIBRATION_JOB = "calibration"
"""One job: a round's next stage, a corpus, a base, a measurement, a benchmark."""
CALIBRATION_JOB_BY_TORCHRUN = "calibration.torchrun"
"""The same by several processes."""
TAKE_HANDOFF = "calibration.take_handoff"
DEMO_SPEAKERS = "calibration.corpus.demo_speakers"
SCORE = "calibration.evaluation.score"


def program(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` by the interpreter that runs this."""
    return [sys.executable, "-m", module, *arguments]
