"""A real Home Assistant beside a real daemon: its wyoming integration, set up by its config flow,
and an Assist pipeline from a recording to the sound of the reply.

`make test-homeassistant` runs it: it installs a Debian system with Home Assistant in it, a gigabyte
and five minutes, the first time.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.client.socket_client import request
from daemon.client.temporary_daemon import private_daemon
from engines.audio.recordings import read_audio, write_flac
from engines.types import SAMPLE_RATE_HZ
from tests.bench.world import fresh_state, settings_of
from tests.homeassistant.debian_system import HERE, installed_system, surroundings
from tests.support.audio_fixtures import flite
from tests.support.http_house import free_port

pytestmark = [
    pytest.mark.homeassistant,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap"),
]


@pytest.fixture(scope="module")
def system() -> Iterator[Path]:
    with installed_system() as folder:
        yield folder


def waited(path: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until `path` is there."""
    until = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, "Home Assistant has ended"
        assert time.monotonic() < until
        time.sleep(0.2)


def test_an_assist_pipeline_hears_answers_and_speaks_by_attune(
    system: Path, tmp_path: Path, general_speech: Path
) -> None:
    port, http_port = free_port(), free_port()
    spoken = read_audio(general_speech / "vm-intro.g722", 30.0)
    work = system / "trial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "said.raw").write_bytes((32767 * spoken).astype("<i2").tobytes())
    shutil.copy(HERE / "drive.py", work / "drive.py")
    control = tmp_path / "a.sock"
    more: dict[str, object] = {
        "WYOMING__ADDRESS": f"127.0.0.1:{port}",
        "HTTP__ADDRESS": f"127.0.0.1:{http_port}",
    }
    settings = settings_of(fresh_state(tmp_path / "state"), control, **more)
    with private_daemon(settings, tmp_path / "daemon.log"):
        done = subprocess.run(
            ["chroot", str(system), "/ha/bin/python", "/trial/drive.py", "/trial/config", str(port),
             str(http_port), "/trial/said.raw"],
            env=surroundings(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=900,
        )  # fmt: skip
        [status] = request(control, {"command": "status"}, 60)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    found = json.loads(line.removeprefix("FOUND "))
    print(json.dumps(found, indent=1))
    assert found["flow"].endswith("create_entry")
    assert found["entities"] == ["conversation.attune", "stt.attune", "tts.attune"]
    assert found["conversation"]
    assert "errors" not in found
    assert "message" in found["heard"].lower()
    seconds = np.flatnonzero(np.abs(spoken) > 0.02)[-1] / SAMPLE_RATE_HZ
    assert seconds < found["heard_at"] < seconds + 5
    assert found["answered"]
    assert found["said_bytes"] > 20_000
    by_http = found["llama_cpp"]
    assert by_http["steps"][-1].endswith("create_entry")
    assert [kind for kind, _ in by_http["answers"]] == ["action_done", "action_done"]
    assert "Paris" in by_http["answers"][0][1]
    assert status["last_turns"][0]["utterance"], "what Home Assistant passed on was found again"


SAID = (
    ("Turn on the bedroom lamp", "Bedroom Lamp is on."),
    ("set the thermostat to 19 degrees", "Thermostat is set to 19 degrees."),
    ("tun off de kitsen wight", "Kitchen Light is off."),
    ("What is the room temperature?", "Room Temperature is 20.5"),
    ("Is the front door locked?", "Yes, Front Door is locked."),
    ("Add milk, eggs and bread to the shopping list", "I put milk, eggs and bread on"),
    ("Is milk on the shopping list?", "Yes, milk is on the shopping list."),
    ("Take eggs off the shopping list", "I took eggs off the shopping list."),
    ("What is on the shopping list?", "On the shopping list: milk and bread."),
    ("Unlock the front door", "Shall I unlock Front Door?"),
    ("no", "Then I leave it."),
    ("Turn on the chicken light", ""),
)


def test_the_house_is_controlled_by_voice(system: Path, tmp_path: Path) -> None:
    wyoming, http_port = free_port(), free_port()
    work = system / "house"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(HERE / "house.py", work / "house.py")
    folder, control = work / "config", tmp_path / "a.sock"
    running = subprocess.Popen(
        ["chroot", str(system), "/ha/bin/python", "/house/house.py", "/house/config", str(wyoming),
         str(http_port)],
        env=surroundings(),
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        waited(folder / "token", running)
        more: dict[str, object] = {
            "WYOMING__ADDRESS": f"127.0.0.1:{wyoming}",
            "HOUSE__URL": f"http://127.0.0.1:{http_port}",
            "HOUSE__TOKEN_FILE": folder / "token",
        }
        settings = settings_of(fresh_state(tmp_path / "state"), control, **more)
        with private_daemon(settings, tmp_path / "daemon.log"):
            (folder / "attune").write_text("answers")
            waited(folder / "intents", running)
            replies = []
            for words, _ in SAID:
                *_, turn = request(control, {"command": "ask", "text": words}, 60)
                replies.append(turn["reply"])
            spoken = flite("Turn on the ceiling lights.", "slt")
            write_flac(tmp_path / "said.flac", spoken)
            *_, heard = request(control, {"command": "ask", "audio": tmp_path / "said.flac"}, 60)
            (folder / "stop").write_text("stop")
            output, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    [line] = [line for line in output.splitlines() if line.startswith("FOUND ")]
    found = json.loads(line.removeprefix("FOUND "))
    print(json.dumps({"answers": found["answers"], "replies": replies, "heard": heard}, indent=1))
    assert [kind for _, kind, _ in found["answers"]] == ["action_done"] * 3
    assert found["after_intents"] == {
        "light.kitchen_light": "on",
        "light.bedroom_lamp": "off",
        "light.ceiling_lights": "off",
    }
    assert [speech for *_, speech in found["answers"][:2]] == [
        "Kitchen Light is on.",
        "Bedroom Lamp is off.",
    ]
    for (words, told), reply in zip(SAID, replies, strict=True):
        assert told in reply, words
    states = found["states"]
    assert states["light.bedroom_lamp"][0] == "on"
    assert states["light.kitchen_light"][0] == "off"
    assert states["light.ceiling_lights"][0] == "on", heard
    assert states["climate.thermostat"][1] == 19
    assert states["lock.front_door"][0] == "locked"
