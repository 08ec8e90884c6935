"""`attune users`: the people who use Attune are shown, added and told apart by hand."""

import json
from pathlib import Path

import pytest

from tests.daemon.cli.test_cli import Attune, attune, daemon, folder, one_line
from tests.daemon.cli.test_data_command import enrolled

__all__ = ["attune", "daemon", "enrolled", "folder"]


def kept(attune: Attune) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(attune("data", "list", "--json")[1])["utterances"]
    return found


def test_a_household_is_made_shown_and_undone(enrolled: Attune) -> None:
    assert enrolled("users", "rename", "first user", "Ann")[0] == 0
    code, out, _ = enrolled("users", "add", "Ben [b]")
    assert code == 0
    assert out.startswith("Ben [b] is a user; `attune users switch Ben [b]`, then `attune enroll`")
    assert enrolled("users", "switch", "ben [B]")[1] == "ben [B] is served\n"
    moved = kept(enrolled)[0]["utterance"]
    assert (
        "1 recording: the voice of Ben [b]"
        in enrolled("users", "assign", moved[:8], "--to", "Ben [b]")[1]
    )
    code, out, _ = enrolled("users", "list")
    assert "Ann " in out
    assert "3, 0 by voice" in out
    assert "3 enrolled recordings make the voice known" in " ".join(out.split())
    assert "the voice of no user" in enrolled("users", "assign", moved, "--nobody")[1]
    assert "1 recording of other voices" in enrolled("users", "list")[1]
    assert kept(enrolled)[0]["user"] == "another voice"
    assert enrolled("status")[1].count("Ben [b]") == 1
    code, out, _ = enrolled("users", "merge", "Ben [b]", "Ann")
    assert out == "0 recordings given to Ann; `attune adapt` learns from them\n"
    listed = json.loads(enrolled("users", "list", "--json")[1])
    assert [user["name"] for user in listed["users"]] == ["Ann"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "first user"), "is what a user without a name is called"),
        (("add", " "), "a name has 1 to 40 characters"),
        (("add", "x" * 41), "name: "),
        (("switch", "nobody"), "there is no user nobody; users are: first user"),
        (("rename", "nobody", "somebody"), "there is no user nobody"),
        (("merge", "first user", "first user"), "is the first user, who stays"),
        (("split", "first user", "Ben", "ffffffff"), "there is no utterance ffffffff"),
        (("split", "first user", "Ben", "xyz"), "is no recording"),
        (("assign", "ffffffff", "--to", "first user"), "there is no utterance ffffffff"),
        (("assign", "ffffffff"), "give either --to NAME or --nobody"),
        (("assign", "ffffffff", "--to", "x", "--nobody"), "give either --to NAME or --nobody"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(
    enrolled: Attune, arguments: tuple[str, ...], told: str
) -> None:
    assert told in one_line(enrolled("users", *arguments))
    assert len(json.loads(enrolled("users", "list", "--json")[1])["users"]) == 1


def test_a_user_without_recordings_is_forgotten_too(enrolled: Attune, folder: Path) -> None:
    enrolled("users", "add", "Ben")
    assert enrolled("data", "forget", "--user", "Ben", "--yes")[0] == 0
    assert "there is no user Ben" in one_line(enrolled("data", "forget", "--user", "Ben", "--yes"))
    assert len(kept(enrolled)) == 4
