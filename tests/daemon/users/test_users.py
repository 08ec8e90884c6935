"""The users: their names, and which of them is served."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.store.store import Store
from daemon.users.users import MOST_NAME_CHARACTERS, MOST_USERS, UNNAMED, Users
from engines.errors import AttuneError


def test_whoever_used_it_before_is_the_first_user(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        users = Users(store)
        assert [user.name for user in users.all] == [UNNAMED]
        assert users.is_unnamed(users.served)
        assert users.rename(users.served.id, "Ann").name == "Ann"
        ben = users.add("  Ben   Smith ")
        assert ben.name == "Ben Smith"
        assert users.named("ben smith") == ben
        users.serve(ben.id)
    with closing(Store(tmp_path)) as store:
        assert Users(store).served == ben, "who is served is known after a restart"


@pytest.mark.parametrize("name", ["", "  ", "a" * (MOST_NAME_CHARACTERS + 1), "a\nb\x07", "ann"])
def test_a_name_that_is_none_or_taken_is_refused(tmp_path: Path, name: str) -> None:
    with closing(Store(tmp_path)) as store:
        users = Users(store)
        users.add("Ann")
        with pytest.raises(AttuneError, match="name has 1 to|there is a user Ann already"):
            users.add(name)
        assert len(users.all) == 2


def test_there_are_only_so_many_and_none_that_is_not(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        users = Users(store)
        for number in range(MOST_USERS - 1):
            users.add(f"user {number}")
        with pytest.raises(AttuneError, match="the most that there can be"):
            users.add("one more")
        with pytest.raises(AttuneError, match="there is no user nobody; users are: first user,"):
            users.named("nobody")
        with pytest.raises(AttuneError, match="there is no user 99"):
            users.serve(99)
        assert users.served.id == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("AbÄ ", max_size=5), max_size=8))
def test_no_two_have_one_name(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    with closing(Store(tmp_path_factory.mktemp("s"))) as store:
        users = Users(store)
        for name in names:
            try:
                users.add(name)
            except AttuneError:
                continue
        found = [user.name.casefold() for user in users.all]
        assert len(set(found)) == len(found)
