"""The packages that `make deb` built, and what the next version of one may be."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "deb"
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEXT = f"{VERSION}.1"


def built(name: str) -> Path:
    """The package `name`. Fails where it was not built."""
    found = sorted(BUILT.glob(f"{name}_*.deb"))
    assert len(found) == 1, "run `make deb`"
    return found[0]


def newer(folder: Path) -> Path:
    """The package attune as of a next version, which brings the database to a next form, built in
    `folder`."""
    tree = folder / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", str(built("attune")), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}", f"Version: {NEXT}"))
    [migrations] = tree.rglob("daemon/store/migrations")
    number = int(sorted(migrations.glob("*.sql"))[-1].name[:4]) + 1
    (migrations / f"{number:04d}_next.sql").write_text("CREATE TABLE next (value INTEGER);\n")
    made = folder / f"attune_{NEXT}_newer.deb"
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(made)],
        check=True,
        capture_output=True,
    )
    return made
