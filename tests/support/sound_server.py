"""A sound server without a sound card, for tests: what is played into its sink `wire` is heard by
its microphone `vmic`.

Needs Debian's pulseaudio, pulseaudio-utils and libasound2-plugins. ATTUNE_TEST_NO_PULSE=1 skips the
tests that use it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.audio_fixtures import noise, write_wav
from tests.support.places import SUPPORT

SCRIPT = SUPPORT / "virtual_mic.sh"


class SoundServer:
    """A private PulseAudio with one microphone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sound = write_wav(folder / "sound.wav", noise(1.0, 0.2))

    def __call__(self, *verb: str) -> str:
        command = ["bash", str(SCRIPT), str(self.folder), *verb]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=120
        ).stdout

    def play(self) -> None:
        self("play", str(self.sound))


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    if os.environ.get("ATTUNE_TEST_NO_PULSE") == "1":
        pytest.skip("ATTUNE_TEST_NO_PULSE=1")
    if not shutil.which("pulseaudio") or not shutil.which("pactl"):
        pytest.fail(
            "no PulseAudio: run `sudo apt install pulseaudio pulseaudio-utils libasound2-plugins`,"
            " or set ATTUNE_TEST_NO_PULSE=1"
        )
    started = SoundServer(tmp_path_factory.mktemp("mic"))
    started("start")
    with pytest.MonkeyPatch.context() as environment:
        for line in started("env").splitlines():
            environment.setenv(*line.split("=", 1))
        yield started
        started("stop")
