"""A bare system as an image builder has it: a root file system without a network, a running systemd
or a GPU. As root only."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.places import cache_dir

_INCLUDED = (
    "ca-certificates,espeak-ng,flite,fortunes,libasound2-plugins,libgomp1,libportaudio2,libstdc++6,"
    "man-db,procps,python3,systemd"
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_UNTOLD = (
    "/proc",
    "/dev",
    "/tmp",
    "/var/lib/dpkg",
    "/var/log",
    "/var/cache/man",
    "/var/cache/ldconfig",
    "/var/cache/debconf",
)


def root_file_system() -> Path:
    """Of this machine's release, made once. Nothing in it is changed."""
    codename, *_ = _of_apt("$(CODENAME)")
    folder = (
        cache_dir()
        / "tests"
        / f"root-{codename}-{hashlib.sha256(_INCLUDED.encode()).hexdigest()[:8]}"
    )
    if not folder.is_dir():
        making = folder.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        site, *_ = _of_apt("$(SITE)")
        command = [
            "debootstrap",
            "--variant=minbase",
            f"--include={_INCLUDED}",
            codename,
            str(making),
            site,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=900)
        making.rename(folder)
    return folder


def _of_apt(what: str) -> list[str]:
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", what], check=True, capture_output=True, text=True
    ).stdout
    return list(dict.fromkeys(listed.split()))


class BareSystem:
    """An overlay over `root_file_system`, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._daemons: list[subprocess.Popen[str]] = []
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(parents=True)
        options = (
            f"lowerdir={root_file_system()},upperdir={folder / 'upper'},workdir={folder / 'work'}"
        )
        subprocess.run(
            ["mount", "-t", "overlay", "-o", options, "bare", str(self.root)], check=True
        )

    def close(self) -> None:
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()
        subprocess.run(["umount", "--recursive", str(self.root)], check=True)

    def run(
        self, *command: str, user: str = "root", check: bool = True, seconds: float = 600.0
    ) -> str:
        """What a command prints there, both ways."""
        done = subprocess.run(
            self._inside(command, user),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
            )
        return done.stdout

    def start(self, *command: str, user: str) -> subprocess.Popen[str]:
        """A command that goes on; it ends with the system."""
        daemon = subprocess.Popen(
            self._inside(command, user), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._daemons.append(daemon)
        return daemon

    def files(self) -> set[str]:
        """Every path, but for what the package manager keeps of its own."""
        found = set()
        for folder, folders, names in os.walk(self.root):
            inside = "/" + str(Path(folder).relative_to(self.root)).removeprefix(".")
            folders[:] = [name for name in folders if str(Path(inside) / name) not in _UNTOLD]
            found |= {str(Path(inside) / name) for name in [*folders, *names]}
        return found

    def _inside(self, command: Sequence[str], user: str) -> list[str]:
        devices = "".join(
            f"touch dev/{name}; mount --bind /dev/{name} dev/{name}; " for name in _DEVICES
        )
        script = (
            f"cd {self.root}; mount -t proc proc proc; mount -t tmpfs dev dev; {devices}mkdir"
            f" dev/shm; mount -t tmpfs shm dev/shm; exec chroot . setpriv --reuid={user}"
            f" --regid={user} --init-groups env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin"
            ' HOME=/nonexistent LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"'
        )
        return [
            "unshare",
            "--net",
            "--pid",
            "--mount",
            "--fork",
            "--kill-child",
            "bash",
            "-ec",
            script,
            "inside",
            *command,
        ]
