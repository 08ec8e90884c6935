"""`attune consent`: whether Attune may keep what is said, and learn from it."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from engines.errors import AttuneError

from ...control.requests import SetConsent
from ...events.privacy import Consented
from ...privacy.consent import HOW, QUESTION
from ..common import AsJson, ask_daemon_for, console, print_json
from ..status import told_keeping


class Wanted(StrEnum):
    """What the user decides."""

    on = "on"
    off = "off"


def consent(
    wanted: Annotated[
        Wanted | None, typer.Argument(help="on: you agree. off: you do not, or no longer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let Attune keep what you say and learn from it, or not.

    Without that, Attune answers and keeps nothing. With neither on nor off, it shows what you
    decided, or asks you if you have not decided yet. What was kept before stays with off.
    """
    found = _decided(None if wanted is None else wanted is Wanted.on)
    if wanted is None and found.keeping.agreed is None and not as_json and sys.stdin.isatty():
        found = _decided(typer.confirm(QUESTION))
    if as_json:
        print_json(found.keeping)
        return
    console.print(f"kept: {escape(told_keeping(found.keeping))}", highlight=False, soft_wrap=True)


def ensure_agreed() -> None:
    """Ask the user, at a terminal, whether Attune may keep recordings, if that was not decided yet.
    Raises AttuneError if it may not."""
    agreed = _decided(None).keeping.agreed
    if agreed is None and sys.stdin.isatty():
        agreed = _decided(typer.confirm(QUESTION)).keeping.agreed
    if not agreed:
        raise AttuneError(f"you have not agreed that Attune keeps recordings: {HOW}")


def _decided(agreed: bool | None) -> Consented:
    return ask_daemon_for(Consented, SetConsent(agreed=agreed))
