"""The abilities of a daemon: those that come with it, those of other packages, and those that are
left out."""

from contextlib import ExitStack
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from daemon.abilities.ability import Ability, Answer
from daemon.abilities.installed import GROUP, installed_abilities
from daemon.attention import Attention
from daemon.events.bus import Events
from daemon.own_abilities import LEAST_PARAMETERS, OwnAbilities, knows_little, make_abilities
from daemon.privacy.consent import Consent
from daemon.privacy.keeping import Keeping
from daemon.privacy.private_time import PrivateTime
from daemon.store.store import Store
from daemon.users.users import Users
from engines.errors import AttuneError
from tests.support.fake_home_assistant import TOKEN, fake_home_assistant
from tests.support.running_daemon import make_settings

DICE = Ability(
    name="dice",
    example="roll the dice",
    sentences={"roll": ("roll [the] dice",)},
    answer=lambda request: Answer("I rolled a six."),
)
BROKEN = Ability(
    name="broken", example="", sentences={"x": ("(one|two",)}, answer=lambda request: None
)
CLOCK = Ability(name="clock", example="", sentences={"x": ("tick",)}, answer=lambda request: None)
NOTHING = "no ability"


def entry(value: str) -> EntryPoint:
    return EntryPoint(value, f"{__name__}:{value}", GROUP)


def made(folder: Path, **settings: Any) -> OwnAbilities:
    with ExitStack() as stack:
        store = Store(folder)
        stack.callback(store.close)
        keeping = Keeping(Consent(store), PrivateTime(store), recordings=True)
        wanted = make_settings(folder, **settings)
        forgetting: Any = None  # nothing is forgotten here
        return make_abilities(
            stack,
            wanted,
            store,
            keeping,
            lambda: forgetting,
            Users(store),
            lambda: forgetting,
            None,
            Attention(),
            Events(),
            Path,
        )


def names(own: OwnAbilities) -> list[str]:
    assert own.abilities is not None
    return own.abilities.names


def test_an_ability_of_another_package_is_found_and_a_bad_one_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = globals()
    monkeypatch.setattr(EntryPoint, "load", lambda self: here[self.name])
    found = installed_abilities(
        ["clock"], [entry(name) for name in ("DICE", "BROKEN", "CLOCK", "NOTHING", "MISSING")]
    )
    assert [one.name for one in found] == ["dice"]
    for name in ("BROKEN", "CLOCK", "NOTHING", "MISSING"):
        assert f"the ability {name} " in caplog.text


def test_abilities_can_be_left_out_and_there_may_be_none(tmp_path: Path) -> None:
    assert {"clock", "timers", "house", "help"} <= set(names(made(tmp_path / "a")))
    without = names(made(tmp_path / "b", abilities__without="lists"))
    assert "lists" not in without
    assert made(tmp_path / "c", abilities__enabled=False).abilities is None
    with pytest.raises(AttuneError, match="'cooking', which is none"):
        made(tmp_path / "d", abilities__without="cooking")


def test_a_house_needs_a_token_that_can_be_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(AttuneError, match="cannot be read"):
        made(tmp_path / "a", house__url="http://127.0.0.1:9", house__token_file=str(token))
    token.write_text(TOKEN)
    token.chmod(0o600)
    with fake_home_assistant() as fake:
        own = made(tmp_path / "b", house__url=fake.url, house__token_file=str(token))
    assert "house" in names(own)


def test_only_a_large_language_model_answers_questions(tmp_path: Path, tiny_path: Path) -> None:
    assert knows_little(make_settings(tmp_path), tiny_path)
    trusted = make_settings(tmp_path, conversation__answer_questions=True)
    assert not knows_little(trusted, tiny_path)
    assert knows_little(make_settings(tmp_path, conversation__answer_questions=False), Path("none"))
    assert LEAST_PARAMETERS > 135_000_000
