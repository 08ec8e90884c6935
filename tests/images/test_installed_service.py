"""The packages on a real systemd: installed, upgraded with a migration of the database, and purged
while the service runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.built import built, newer
from tests.system.machine import Machine

pytestmark = [pytest.mark.images, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
VERSION = (
    "import sqlite3; print(*sqlite3.connect('/var/lib/attune/attune.db').execute('PRAGMA"
    " user_version').fetchone())"
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, installed=False)
    yield made
    made.halt()


def dpkg(machine: Machine, *arguments: str) -> str:
    return machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments, seconds=900)


def test_the_service_is_upgraded_with_its_database_and_purged_while_it_runs(
    machine: Machine, tmp_path: Path
) -> None:
    models, package = built("attune-models"), built("attune")
    (tmp_path / "next").mkdir()
    after = newer(tmp_path / "next")
    machine.bind(package.parent, "/packages", read_only=True)
    machine.bind(after.parent, "/next", read_only=True)
    machine.configure(audio__source='"none"')
    machine.start()
    # Of whoever works on this host, in the machine's own view: what they made, and that packages
    # are to start nothing.
    machine.run("rm", "-rf", "/var/lib/attune", "/var/cache/attune", "/usr/sbin/policy-rc.d")
    dpkg(machine, "--install", f"/packages/{models.name}", f"/packages/{package.name}")
    machine.wait_for("attune.service")
    assert machine.show("attune-adapt-nightly.service", "ActiveEnterTimestamp") == "", (
        "nothing is trained by an installation"
    )
    machine.attune("consent", "on")
    assert machine.attune("ask", "Say hello.")
    old = int(machine.run("python3", "-c", VERSION))
    assert old >= 1

    dpkg(machine, "--install", f"/next/{after.name}")
    machine.wait_for("attune.service")
    assert machine.attune("ask", "Are you there?")
    assert int(machine.run("python3", "-c", VERSION)) == old + 1
    assert machine.status()["counts"]["turns"] == 2
    assert machine.show("attune.service", "NRestarts") == "0"

    dpkg(machine, "--purge", "attune", "attune-models")
    for unit in (
        "attune.service",
        "attune.socket",
        "attune-engines.service",
        "attune-adapt.path",
        "attune-adapt.timer",
    ):
        assert machine.show(unit, "ActiveState") == "inactive"
        assert machine.show(unit, "LoadState") == "not-found"
    kept = ("/usr/lib/attune", "/usr/share/attune", "/run/attune", "/var/cache/attune")
    assert not machine.run("sh", "-c", f"ls -d {' '.join(kept)} 2>/dev/null || true")
