"""Knows whom it serves, and serves somebody else if they say who they are."""

from collections.abc import Callable
from typing import Protocol

from ...users.users import User, Users, is_called
from ..ability import Ability, Answer, Request

_AND = " and "
SENTENCES = {
    "switch": (
        "(this is|it is|i am|my name is|here is) {user} [speaking|talking|here|now]",
        "{user} (speaking|is speaking|is talking|is here) [now]",
        "(switch|change) [the] [user] to {user} [please]",
        "(listen|talk) to {user} [now]",
    ),
    "who": (
        "who am i",
        "who (is|do you think is) (speaking|talking|this) [to you] [now]",
        "who do you think i am",
        "(do|can) you (know|recognise|recognize) (me|my voice|who i am)",
        "who are you (listening|talking) to",
    ),
    "all": (
        "who (uses|can use) you",
        "(which|what) users (are there|do you know|have you got)",
    ),
}


class Serving(Protocol):
    """The part of what chooses the user that this ability needs."""

    @property
    def now(self) -> User:
        """Who is served."""

    def switch_later(self, user: User) -> None:
        """Serve `user` from the next turn on."""


def user_ability(users: Users, served: Callable[[], Serving]) -> Ability:
    """Who is served."""
    return Ability(
        name="users",
        example="who am I",
        sentences=SENTENCES,
        answer=lambda request: _answer(request, users, served()),
        words=lambda: [user.name for user in users.all if not users.is_unnamed(user)],
    )


def _answer(request: Request, users: Users, served: Serving) -> Answer | None:
    match request.intent:
        case "switch":
            return _switch(request, users, served)
        case "who":
            if users.is_unnamed(served.now):
                return Answer("I serve one user, who has not told me a name.")
            return Answer(f"I take you for {served.now.name}.")
        case "all":
            names = [user.name for user in users.all if not users.is_unnamed(user)]
            if not names:
                return Answer("I serve one user, who has not told me a name.")
            return Answer(f"I know {_listed(names)}.")
    return None


def _switch(request: Request, users: Users, served: Serving) -> Answer | None:
    user = next((one for one in users.all if is_called(one, request.slots["user"])), None)
    if user is None:
        return None  # "this is nice" names nobody
    before = served.now
    if user.id == before.id:
        return Answer(f"Yes, I take you for {user.name}.")

    def switch() -> None:
        served.switch_later(user)

    def back() -> None:
        served.switch_later(before)

    return Answer(f"Hello {user.name}.", switch, back)


def _listed(names: list[str]) -> str:
    return _AND.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
