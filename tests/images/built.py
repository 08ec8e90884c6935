"""The packages that `make deb` built, and what they would have been a version ago."""

import subprocess
from pathlib import Path

BUILT = Path(__file__).parents[2] / "build" / "deb"


def built(name: str) -> Path:
    """The package `name`. Fails where it was not built."""
    found = sorted(BUILT.glob(f"{name}_*.deb"))
    assert len(found) == 1, "run `make deb`"
    return found[0]


def older(folder: Path) -> Path:
    """The package attune as of a version that did not know the last migration of the database, built in `folder`."""
    tree = folder / "older"
    subprocess.run(["dpkg-deb", "--raw-extract", str(built("attune")), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: 0.1.0", "Version: 0.0.9"))
    [migrations] = tree.rglob("daemon/migrations")
    sorted(migrations.glob("*.sql"))[-1].unlink()
    made = folder / "attune_0.0.9_older.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(made)], check=True, capture_output=True)
    return made
