"""What the benches of a whole daemon share: a speaker to learn, and a daemon's settings on a state
of its own."""

import json
import shutil
import subprocess
from pathlib import Path

from daemon.cli.common import settings
from engines.jobs.programs import DEMO_SPEAKERS, program
from engines.models.cache import model_path
from engines.models.general_speech import GENERAL_MODEL
from tests.support.consent import agree

Rows = list[dict[str, str]]


def speak(folder: Path, speaker: str) -> Rows:
    """The enrolment of `clear` or `atypical`, spoken into `folder`: audio and text of each row."""
    folder.mkdir(parents=True, exist_ok=True)
    command = program(DEMO_SPEAKERS, speaker, str(folder))
    command += ["--recordings", str(model_path(GENERAL_MODEL, settings().cache_dir))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in (folder / "enrol.jsonl").read_text().splitlines()]


def write_rows(manifest: Path, rows: Rows) -> Path:
    """A manifest of `rows`, to enrol from."""
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def fresh_state(folder: Path, *, agreed: bool = True) -> Path:
    """A state that has learnt nothing, with a copy of the installed base, whose user `agreed` that
    what is said is kept."""
    generations = folder / "generations"
    generations.mkdir(parents=True)
    shutil.copytree(settings().generations / "0000", generations / "0000")
    return agree(folder) if agreed else folder


def settings_of(state: Path, socket: Path, **more: object) -> dict[str, str]:
    """For `private_daemon`: that state, the installed models, no microphone, rounds only where they
    are asked for, and `more`."""
    given = {
        "STATE_DIR": state,
        "CACHE_DIR": settings().cache_dir,
        "CONTROL__SOCKET": socket,
        "AUDIO__SOURCE": "none",
        "IDLE__ENABLED": False,
        **more,
    }
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }
