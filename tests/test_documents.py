"""What documents say of the code is so."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.places import PROJECT

ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text()
PACKAGES = ("daemon", "engines", "calibration")


def sentence(package: str, room: str) -> str:
    found = ast.get_docstring(ast.parse((PROJECT / package / room / "__init__.py").read_text()))
    assert found is not None
    return found.replace("\n", " ")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_stands_in_the_architecture_with_its_own_sentence(package: str) -> None:
    _, _, after = ARCHITECTURE.partition(f"| `{package}/` | |\n")
    told = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", after.partition("\n\n")[0], re.MULTILINE))
    rooms = [path.parent.name for path in (PROJECT / package).glob("*/__init__.py")]
    assert told == {room: sentence(package, room) for room in rooms}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_has_more_than_twenty_files(package: str) -> None:
    folders = [
        PROJECT / package,
        *(path.parent for path in (PROJECT / package).rglob("__init__.py")),
    ]
    assert max(len(list(folder.glob("*.py"))) for folder in folders) <= 20


@pytest.mark.parametrize(
    "path",
    [*(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*.md")],
    ids=lambda path: str(path.relative_to(PROJECT)),
)
def test_files_of_the_code_that_a_document_names_are_there(path: Path) -> None:
    if path.name == "CHANGELOG.md":  # which tells how things were
        return
    named = re.findall(
        r"\b((?:daemon|engines|calibration|tests|systemd)/[\w./]*\w\.(?:py|sql|toml|service))\b",
        path.read_text(),
    )
    assert [name for name in named if not (PROJECT / name).is_file()] == []


TOUR = re.findall(r"`([\w/]+\.py)`\s+`([\w.]+)`", (PROJECT / "docs" / "tour.md").read_text())


@pytest.mark.parametrize(("path", "name"), TOUR)
def test_what_the_tour_names_is_there(path: str, name: str) -> None:
    found: ast.AST = ast.parse((PROJECT / path).read_text())
    for part in name.split("."):
        inside = [
            node
            for node in ast.iter_child_nodes(found)
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part
        ]
        assert inside, f"{path} has no {name}"
        found = inside[0]


def test_the_tour_has_many_stops() -> None:
    assert len(TOUR) > 40
