"""Every program that is started by its module's name is there, and what names it outside of the
code names it rightly."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from engines.jobs import programs
from tests.support.places import PROJECT

NAMES = {name: value for name, value in vars(programs).items() if name.isupper()}


@pytest.mark.parametrize("module", NAMES.values())
def test_it_can_be_run_by_its_name(module: str) -> None:
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin)
    source = path.with_name("__main__.py") if path.name == "__init__.py" else path
    assert 'if __name__ == "__main__":' in source.read_text()


def test_who_names_a_program_names_one_of_these() -> None:
    """Units, packages and the Makefile start modules of ours by `-m`, too."""
    named = set()
    for path in [
        PROJECT / "Makefile",
        *(PROJECT / "systemd").rglob("*"),
        *(PROJECT / "docker").rglob("*"),
    ]:
        if path.is_file():
            named |= set(
                re.findall(
                    r"-m ((?:daemon|engines|calibration)[\w.]*)", path.read_text(errors="replace")
                )
            )
    assert {programs.TAKE_HANDOFF, programs.CPU_FEATURES, programs.COMMAND_LINE} <= named
    assert named <= set(NAMES.values())
