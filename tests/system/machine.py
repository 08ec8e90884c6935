"""A machine on which Attune is installed as its units expect it, run by this host's own systemd
(`machine.sh`)."""

import json
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.places import cache_dir

PROJECT = Path(__file__).resolve().parents[2]
_SCRIPT = Path(__file__).with_name("machine.sh")
_INSTALLED = "/usr/lib/attune"
_PACKAGES = "/usr/lib/attune-packages"
_BASE = "/usr/lib/attune-python"
OWN_LIBRARY = f"LD_LIBRARY_PATH={_BASE}/lib"
TESTS = "/usr/lib/attune-tests"
"""With the folder `tests`, for units that run parts of it."""


class Machine:
    """What outlives it lies in `folder`: the state and the cache."""

    def __init__(self, folder: Path, installed: bool = True) -> None:
        """Install what the units need, unless that is to come by a package. Nothing runs yet."""
        self.folder = folder
        self._binds: list[tuple[Path, str, str]] = []
        if not installed:
            return
        self._install()
        for name in ("lib", "cache"):
            (folder / name).mkdir()
            self.bind(folder / name, f"/var/{name}/attune")

    @property
    def etc(self) -> Path:
        """What is copied over /etc when the machine starts."""
        return self.folder / "etc"

    def bind(self, source: Path, target: str, read_only: bool = False) -> None:
        """Have `source` of this host at `target` there, from its next start on."""
        self._binds.append((source, target, "ro" if read_only else "rw"))

    def configure(self, **keys: str) -> None:
        """Settings, with `__` for a dot, as a file among /etc/attune/attune.toml.d, from the next
        start on."""
        lines = "".join(f"{name.replace('__', '.')} = {value}\n" for name, value in keys.items())
        self.write(f"attune/attune.toml.d/{len(keys)}-{'-'.join(keys)[:40]}.toml", lines)

    def write(self, path: str, text: str) -> None:
        """A file below /etc, from the next start on."""
        (self.etc / path).parent.mkdir(parents=True, exist_ok=True)
        (self.etc / path).write_text(text)

    def mask(self, unit: str) -> None:
        """It cannot be started, from the next start on."""
        path = self.etc / "systemd" / "system" / unit
        path.unlink()
        path.symlink_to("/dev/null")

    def start(self) -> None:
        (self.folder / "binds").write_text(
            "".join(f"{source} {target} {how}\n" for source, target, how in self._binds)
        )
        self._script("start")

    def halt(self) -> None:
        self._script("halt")

    def cut(self) -> None:
        """The power fails."""
        self._script("cut")

    def run(
        self, *command: str, given: str = "", seconds: float = 120.0, check: bool = True
    ) -> str:
        """Run a command there as root; what it prints."""
        done = subprocess.run(
            ["bash", str(_SCRIPT), "in", str(self.folder), *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr or done.stdout}"
            )
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What `attune status` knows."""
        found: dict[str, Any] = json.loads(self.attune("status", "--json"))
        return found

    def reply(self, text: str) -> str:
        """What the service answers to words that are typed."""
        return self.attune("ask", text).splitlines()[0].strip()

    def attune(self, *arguments: str, seconds: float = 120.0) -> str:
        return self.run("env", OWN_LIBRARY, f"{_INSTALLED}/bin/attune", *arguments, seconds=seconds)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", f"--unit={unit}")

    def wait_for(self, unit: str, state: str = "active", seconds: float = 120.0) -> None:
        self.eventually(lambda: self.show(unit, "ActiveState") == state, unit, seconds)

    def eventually(self, holds: Callable[[], bool], unit: str, seconds: float = 120.0) -> None:
        """Wait for it; where it takes too long, with what `unit` wrote."""
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                raise AssertionError(
                    f"{unit} is {self.show(unit, 'ActiveState')}:\n{self.journal(unit)[-4000:]}"
                )
            time.sleep(0.1)

    def _script(self, command: str) -> None:
        subprocess.run(["bash", str(_SCRIPT), command, str(self.folder)], check=True, timeout=120)

    def _install(self) -> None:
        """An environment at _INSTALLED with this project's code and the packages of the one that
        runs the tests."""
        tree = self.folder / "installed"
        site = tree / Path(sysconfig.get_path("purelib", vars={"base": "."}))
        site.mkdir(parents=True)
        for name in ("daemon", "engines", "calibration"):
            shutil.copytree(
                PROJECT / name, site / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        # As an installer does.
        subprocess.run(["chmod", "--recursive", "a+rX", str(tree)], check=True)
        (site / "attune.pth").write_text(f"{_PACKAGES}\n")
        base = Path(sys.base_prefix)
        home = base if base.is_relative_to("/usr") else Path(_BASE)
        # An interpreter in somebody's home, which services do not see, with a library of its own.
        if home != base:
            self.bind(base, _BASE, read_only=True)
            self.write(
                "systemd/system/service.d/python.conf", f"[Service]\nEnvironment={OWN_LIBRARY}\n"
            )
        (tree / "bin").mkdir()
        interpreter = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (tree / "bin" / "python").symlink_to(home / "bin" / interpreter)
        (tree / "pyvenv.cfg").write_text(
            f"home = {home}/bin\ninclude-system-site-packages = false\n"
        )
        script = tree / "bin" / "attune"
        script.write_text(
            f"#!{_INSTALLED}/bin/python\nfrom daemon.cli.__main__ import main\n\nmain()\n"
        )
        script.chmod(0o755)
        self.bind(tree, _INSTALLED, read_only=True)
        self.bind(Path(sysconfig.get_path("purelib")), _PACKAGES, read_only=True)
        self.bind(cache_dir() / "models", "/usr/share/attune/models", read_only=True)
        self.bind(PROJECT / "tests", f"{TESTS}/tests", read_only=True)
        units = PROJECT / "systemd"
        (self.etc / "systemd" / "system").mkdir(parents=True, exist_ok=True)
        for unit in units.glob("attune*.*"):
            if unit.suffix != ".toml":
                shutil.copy(unit, self.etc / "systemd" / "system")
        shutil.copytree(units / "user", self.etc / "systemd" / "user")
        shutil.copytree(units / "sysusers.d", self.etc / "sysusers.d")
        shutil.copytree(units / "tmpfiles.d", self.etc / "tmpfiles.d")
        own = "".join(f"Z /var/{name}/attune - attune attune -\n" for name in ("lib", "cache"))
        self.write("tmpfiles.d/owned.conf", own)  # what tests put there is root's
        self.write("attune/attune.toml", (units / "attune.toml").read_text())

    def enable(self, units: Sequence[str]) -> None:
        """From the next start on."""
        wants = self.etc / "systemd" / "system" / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        for unit in units:
            (wants / unit).symlink_to(f"../{unit}")
