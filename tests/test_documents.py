"""What documents say of the code is so."""

import ast
import re
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_group

from daemon.cli.__main__ import app
from tests.support.places import PROJECT

ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text()
PACKAGES = ("daemon", "engines", "calibration")
DOCUMENTS = sorted(
    {*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("docker/*.md")}
)
EXPERIMENTS = PROJECT / "docs" / "experiments"
COLUMNS = 100


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def without_code(text: str) -> str:
    """`text` without its code blocks, as many lines as it had."""
    blank = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
    return blank.sub(lambda block: "\n" * block[0].count("\n"), text)


def anchors(path: Path) -> set[str]:
    """What links into `path` may name, made of its headings as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", without_code(path.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documents_are_narrow(path: Path) -> None:
    """But for tables, code, pictures and the targets of links."""
    lines = re.sub(r"\]\([^)]*\)", "]()", without_code(path.read_text())).splitlines()
    wide = [line for line in lines if len(line) > COLUMNS and not line.lstrip().startswith("|")]
    assert wide == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text()))
    for target in targets:
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = path if not file else (path.parent / file).resolve()
        assert there.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{file or path.name} has no #{anchor}"


def test_the_readme_begins_with_one_screen() -> None:
    first, _, _ = (PROJECT / "README.md").read_text().partition("## Where to go next")
    assert len(first.splitlines()) <= 70
    code = "\n".join(re.findall(r"```sh\n(.*?)```", first, re.DOTALL))
    assert {"make demo", "make test"} <= set(re.findall(r"^make \w+", code, re.MULTILINE))


def commands() -> list[str]:
    """Every command of `attune`, as `status` or `generations list`."""
    found: list[str] = []
    for name, command in get_group(app).commands.items():
        inner = command.commands if isinstance(command, TyperGroup) else {}
        found += [f"{name} {one}" for one in inner] or [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_stands_in_the_page_of_commands(command: str) -> None:
    page = (PROJECT / "docs" / "usage.md").read_text()
    told = rf"{command}\b" if " " in command else rf"attune {command}\b"
    assert re.search(told, page) or re.search(rf"attune --set \S+ {command}\b", page)


@pytest.mark.parametrize(
    "path", sorted(PROJECT.glob("docs/adr/*.md")), ids=lambda path: path.name[:4]
)
def test_a_decision_is_told_on_a_page(path: Path) -> None:
    headings = re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Alternatives", "Consequences"]
    assert len(path.read_text().splitlines()) <= 60


def test_every_experiment_stands_in_the_index() -> None:
    index = (EXPERIMENTS / "README.md").read_text()
    listed = re.findall(r"^\| (\d+) \| \[.*\]\((\S+)\)", index, re.MULTILINE)
    assert [name for _, name in listed] == sorted(
        path.name for path in EXPERIMENTS.glob("[0-9]*.md")
    )
    assert [int(number) for number, _ in listed] == list(range(1, len(listed) + 1))
    assert all(int(name[:3]) == int(number) for number, name in listed)
