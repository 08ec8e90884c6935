"""The Debian system that Home Assistant is installed in, beside this one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.places import PROJECT

HERE = Path(__file__).parent
SYSTEM = PROJECT / "build" / "homeassistant"


@contextmanager
def installed_system() -> Iterator[Path]:
    """Install it, if that was not done before, and let programs be run in it."""
    subprocess.run(["sh", str(HERE / "install.sh"), str(SYSTEM)], check=True)
    with ExitStack() as undone:
        for name in ("proc", "dev"):
            place = str(SYSTEM / name)
            subprocess.run(["mount", "--bind", f"/{name}", place], check=True)
            undone.callback(subprocess.run, ["umount", place], check=True)
        yield SYSTEM


def surroundings() -> dict[str, str]:
    """The environment of a program in it."""
    return {
        "PATH": "/ha/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "UV_NATIVE_TLS": "1",
        **{name: os.environ[name] for name in ("PIP_INDEX_URL",) if name in os.environ},
    }
