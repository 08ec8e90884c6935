"""Takes the pictures of docs/home-assistant.md: Home Assistant's own page, with Attune in it.

`make pictures` runs it. Needs root, debootstrap, Chromium, npm and pngquant. It starts a daemon,
and a house with two lights; pictures.mjs does the rest.
"""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.client.temporary_daemon import private_daemon
from tests.bench.world import fresh_state, settings_of
from tests.homeassistant.debian_system import HERE, SYSTEM, installed_system, surroundings
from tests.support.http_house import free_port
from tests.support.places import PROJECT

NODE = PROJECT / "build" / "pictures"
PICTURES = PROJECT / "docs" / "pictures"
PLAYWRIGHT = "playwright-core@1.65.1"
CONFIGURATION = """
homeassistant:
  name: Home
  country: US
frontend:
assist_pipeline:
input_boolean:
  kitchen:
  bedroom:
template:
  - light:
"""
LIGHT = """
      - name: {name}
        unique_id: {id}
        state: "{{{{ is_state('input_boolean.{id}', 'on') }}}}"
        turn_on: {{action: input_boolean.turn_on, target: {{entity_id: input_boolean.{id}}}}}
        turn_off: {{action: input_boolean.turn_off, target: {{entity_id: input_boolean.{id}}}}}
"""
LIGHTS = {"kitchen": "Kitchen Light", "bedroom": "Bedroom Lamp"}


def stored(port: int) -> dict[str, tuple[int, dict[str, object]]]:
    """What a Home Assistant at `port` of this machine alone has kept, whose new user is asked
    nothing."""
    served = {
        "server_host": ["127.0.0.1"],
        "server_port": port,
        "ssl_profile": "intermediate_v6",
        "cors_allowed_origins": [],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": False,
        "use_x_frame_options": True,
        "error": None,
    }
    return {
        "http": (3, {"stable": served, "pending": None, "yaml_migration_done": True}),
        "onboarding": (4, {"done": ["core_config", "analytics", "integration"]}),
    }


@contextmanager
def home_assistant(port: int) -> Iterator[str]:
    """A new Home Assistant that answers at the address that this yields."""
    folder = SYSTEM / "pictures"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / ".storage").mkdir(parents=True)
    for name, (version, data) in stored(port).items():
        kept = {"version": version, "minor_version": 1, "key": name, "data": data}
        (folder / ".storage" / name).write_text(json.dumps(kept))
    lights = "".join(LIGHT.format(id=id_, name=name) for id_, name in LIGHTS.items())
    (folder / "configuration.yaml").write_text(CONFIGURATION + lights)
    running = subprocess.Popen(
        ["chroot", str(SYSTEM), "/ha/bin/hass", "--config", "/pictures"],
        env=surroundings(),
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 600
        while not answers(address):
            assert running.poll() is None, "Home Assistant has ended"
            assert time.monotonic() < until
            time.sleep(0.5)
        yield address
    finally:
        running.terminate()
        running.wait(60)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/manifest.json") as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


@contextmanager
def attune() -> Iterator[int]:
    """A daemon that has learnt nothing and serves Wyoming at the port that this yields."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more: dict[str, object] = {"WYOMING__ADDRESS": f"127.0.0.1:{port}"}
        settings = settings_of(fresh_state(folder / "state"), folder / "a.sock", **more)
        with private_daemon(settings, folder / "daemon.log"):
            yield port


def main() -> None:
    NODE.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "pictures.mjs", NODE)
    subprocess.run(["npm", "install", "--silent", "--no-fund", PLAYWRIGHT], cwd=NODE, check=True)
    PICTURES.mkdir(exist_ok=True)
    with installed_system(), attune() as port, home_assistant(free_port()) as address:
        drive = ["node", "pictures.mjs", address, str(port), str(PICTURES)]
        subprocess.run(drive, cwd=NODE, check=True, timeout=300)
    taken = sorted(map(str, PICTURES.glob("home-assistant-*.png")))
    subprocess.run(
        ["pngquant", "--nofs", "--strip", "--force", "--ext", ".png", *taken], check=True
    )


if __name__ == "__main__":
    main()
