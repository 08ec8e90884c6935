"""The Debian packages: well made, and in a bare system without a network installed, used, upgraded
and purged."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.images.bare_system import BareSystem
from tests.images.built import VERSION, built, newer

pytestmark = [pytest.mark.images, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="module")
def packages() -> list[Path]:
    return [built("attune-models"), built("attune")]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[BareSystem]:
    made = BareSystem(tmp_path)
    yield made
    made.close()


def install(system: BareSystem, *packages: Path) -> str:
    for package in packages:
        shutil.copy(package, system.root / "tmp")
    printed = system.run(
        "dpkg", "--install", *(f"/tmp/{package.name}" for package in packages), seconds=900
    )
    for package in packages:
        (system.root / "tmp" / package.name).unlink()
    return printed


def attune(system: BareSystem, *arguments: str, seconds: float = 120.0) -> str:
    return system.run("attune", *arguments, user="attune", seconds=seconds)


def eventually(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)


def served(system: BareSystem) -> subprocess.Popen[str]:
    """A daemon that answers, as the unit would run it."""
    for name in ("lib", "cache"):
        assert (system.root / "var" / name / "attune").is_dir()
    system.run("systemd-tmpfiles", "--create", "attune.conf")
    machine = {
        "state_dir": "/var/lib/attune",
        "cache_dir": "/var/cache/attune",
        "control.socket": "/run/attune/attune.sock",
    }
    flags = [f"--set={key}={value}" for key, value in (machine | {"audio.source": "none"}).items()]
    daemon = system.start("attune", *flags, "serve", user="attune")
    eventually(
        lambda: (
            daemon.poll() is not None
            or system.run("attune", "status", "--json", user="attune", check=False).startswith("{")
        )
    )
    assert daemon.poll() is None, daemon.communicate()[0]
    return daemon


def ended(daemon: subprocess.Popen[str]) -> None:
    """As systemd ends it. The daemon is what the namespaces' process runs; it may have children of
    its own."""
    psutil.Process(daemon.pid).children()[0].terminate()
    daemon.communicate(timeout=300)
    assert daemon.returncode == 0


def test_they_are_well_made(packages: list[Path]) -> None:
    command = [
        "lintian",
        "--allow-root",
        "--fail-on",
        "error,warning",
        "--tag-display-limit",
        "0",
        *map(str, packages),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]


def test_they_install_without_network_systemd_and_gpu_and_what_they_hold_works(
    system: BareSystem, packages: list[Path]
) -> None:
    install(system, *packages)
    assert f"attune {VERSION}" in attune(system, "--version")
    wants = system.root / "etc/systemd/system"
    enabled = {path.name for path in wants.glob("*.wants/attune*")}
    assert enabled == {
        "attune.service",
        "attune.socket",
        "attune-engines.service",
        "attune-adapt.path",
        "attune-adapt.timer",
    }
    for state, mode in (("lib", 0o700), ("cache", 0o750)):
        assert (system.root / "var" / state / "attune").stat().st_mode & 0o777 == mode
    assert "attune" in system.run("id", "attune")
    units = [path.name for path in (system.root / "lib/systemd/system").glob("attune*")]
    assert not system.run("systemd-analyze", "verify", *units).strip()
    for page in ("attune", "attune-adapt", "attune-generations"):
        assert system.run("man", "--where", page)
    assert not system.run("bash", "-n", "/usr/share/bash-completion/completions/attune")
    found = json.loads(attune(system, "doctor", "--json"))
    assert "processor" in found["GPU"]["found"].lower() or "no" in found["GPU"]["found"].lower()
    assert (system.root / "usr/lib/attune/lib").exists()
    assert list((system.root / "usr/lib/attune/lib").rglob("daemon/__pycache__/*.pyc")), (
        "compiled once, at installation"
    )


def test_it_answers_and_builds_what_it_computes_with(
    system: BareSystem, packages: list[Path]
) -> None:
    install(system, *packages)
    daemon = served(system)
    assert attune(system, "ask", "Say hello.").strip()
    [recording] = (system.root / "usr/share/attune/models").glob("*/vm-intro.g722")
    heard = attune(system, "ask", "/" + str(recording.relative_to(system.root)))
    assert "message" in heard.lower()
    attune(system, "engines", "build", seconds=1500)
    eventually(lambda: "aligned" in json.loads(attune(system, "status", "--json"))["routes"])
    ended(daemon)


def form(system: BareSystem) -> tuple[int, int]:
    """Of the database: its version, and how many turns it holds."""
    database = sqlite3.connect(f"file:{system.root}/var/lib/attune/attune.db?mode=ro", uri=True)
    try:
        return database.execute("PRAGMA user_version").fetchone()[0], database.execute(
            "SELECT count(*) FROM turns"
        ).fetchone()[0]
    finally:
        database.close()


def test_an_upgrade_keeps_what_was_said_and_set_and_a_purge_only_what_was_said(
    system: BareSystem, packages: list[Path], tmp_path: Path
) -> None:
    before = system.files()
    models, package = packages
    install(system, models, package)
    daemon = served(system)
    attune(system, "consent", "on")
    [recording] = (system.root / "usr/share/attune/models").glob("*/vm-intro.g722")
    attune(system, "ask", "/" + str(recording.relative_to(system.root)))
    ended(daemon)
    old, turns = form(system)
    assert turns == 1
    settings = system.root / "etc/attune/attune.toml"
    settings.write_text(settings.read_text() + "\n[conversation]\nmax_reply_tokens = 7\n")

    install(system, newer(tmp_path))
    assert "max_reply_tokens = 7" in settings.read_text(), (
        "a changed conffile is the administrator's"
    )
    daemon = served(system)
    assert attune(system, "ask", "Are you there?").strip()
    ended(daemon)
    new, turns = form(system)
    assert new == old + 1
    assert turns == 2

    printed = system.run("dpkg", "--purge", "attune", "attune-models")
    assert "stays in /var/lib/attune" in printed
    left = system.files() - before
    said = {path for path in left if path.startswith("/var/lib/attune")}
    assert {path for path in said if path.endswith(".flac")}
    assert left - said == set(), "nothing is left but what the user made"


def test_a_purge_leaves_nothing_where_nothing_was_said(
    system: BareSystem, packages: list[Path]
) -> None:
    before, accounts = system.files(), (system.root / "etc/passwd").read_text()
    install(system, *packages)
    ended(served(system))
    system.run("dpkg", "--purge", "attune", "attune-models")
    assert system.files() - before == set()
    assert (system.root / "etc/passwd").read_text() == accounts
