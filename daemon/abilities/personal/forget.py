"""Forgets what was said in a time, with a word, or at all, once the user has confirmed it. What was
learnt from it goes, too."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ...alarms.spoken_times import duration
from ...privacy.forgetting import Forgetting
from ...privacy.scope import Scope
from ..ability import Answer, LastTurn, Request

_FORGET = "(forget|delete|erase|wipe|remove|clear)"
_ALL = "(everything|all|anything|what|whatever) [that] [i|you|we|was|has been|have|has]"
_SAID = "[said|say|heard|hear|recorded|record|kept|stored|have|know|learnt|learned]"
SENTENCES = {
    "forget_all": (
        f"{_FORGET} everything [that] [you|i] [have] [ever] {_SAID} [about|of|from] [me]",
        f"{_FORGET} (all|all of|every one of) [my|the|your] (recordings|data)",
        f"{_FORGET} (my|the) (recordings|data)",
        "forget (me|all about me|that you know me)",
    ),
    "forget_span": (
        f"{_FORGET} {_ALL} {_SAID} [from|in|during|of|for|within] [the] (last|past) {{length}}",
        f"{_FORGET} [the] (last|past) {{length}}",
        f"{_FORGET} {_ALL} {_SAID} [from|on|since] {{day}}",
        f"{_FORGET} [all|all of] [the|my] (recordings|recording) [from|of] {{day}}",
        f"{_FORGET} [all|all of] [the|my] (recordings|recording) [from|of|in] [the] (last|past)"
        " {length}",
    ),
    "forget_word": (
        f"{_FORGET} [everything with] the (word|name) {{word}}",
        f"{_FORGET} {_ALL} {_SAID} with the (word|name) {{word}} [in it]",
    ),
}
_BACK = " I know again what I knew before."
DAYS = ("today", "yesterday", "this morning", "this afternoon", "this evening", "last night")


def forget_answer(request: Request, forgetting: Callable[[], Forgetting]) -> Answer | None:
    """The question whether what was asked for is to be forgotten; None if it makes no sense."""
    scope = _scope(request)
    if scope is None:
        return None
    plan = forgetting().plan(scope)
    found = plan.found
    if found.empty:
        return Answer("I have kept nothing of that.", keeps_turn=False)
    what = [
        counted(len(found.utterances), "recording"),
        counted(len(found.turns), "turn"),
        counted(found.others, "name or note", "names and notes"),
    ]
    told = " and ".join(one for one in what if one)
    learnt = ", and what I learnt from it" if plan.generations else ""

    # In a thread of its own: it may have to wait for a round, and for the models.
    return Answer(
        f"Shall I forget {told}{learnt}? That cannot be undone.",
        if_yes=Answer(
            f"I forget it now.{_BACK if plan.generations else ''}",
            lambda: forgetting().forget_soon(scope),
            grave=True,
            keeps_turn=False,
        ),
        keeps_turn=False,
    )


def forget_last(last: LastTurn, forgetting: Callable[[], Forgetting]) -> Answer:
    """Forget the turn before; with a question first, if anything had learnt from it."""
    scope = Scope(turn=last.turn)
    learnt = bool(last.turn) and bool(forgetting().plan(scope).generations)

    def act() -> None:
        if last.turn:
            forgetting().forget_soon(scope)
        last.forget()

    if not learnt:
        return Answer("I forget it now.", act, grave=True)
    return Answer(
        "Shall I forget it, and what I learnt from it? That cannot be undone.",
        if_yes=Answer(f"I forget it now.{_BACK}", act, grave=True),
    )


def counted(count: int, one: str, several: str = "") -> str:
    """A count with its noun, such as "2 recordings"; empty for none."""
    if not count:
        return ""
    return f"{count} {one if count == 1 else several or one + 's'}"


def _scope(request: Request) -> Scope | None:
    slots = request.slots
    match request.intent:
        case "forget_all":
            return Scope(everything=True)
        case "forget_word":
            return Scope(word=slots["word"])
        case _ if "length" in slots:
            # "the last hour" is one hour, as "the last 2 hours" are two.
            read = duration(slots["length"]) or duration(f"1 {slots['length']}")
            if read is None or read[1]:
                return None
            return Scope(since=request.now.timestamp() - read[0])
        case _:
            return _span_of(slots["day"], request.now)


def _span_of(day: str, now: datetime) -> Scope:
    """The time that was named, as seen from `now`."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    noon, evening = today + timedelta(hours=12), today + timedelta(hours=17)
    began, ended = {
        "today": (today, None),
        "yesterday": (today - timedelta(days=1), today),
        "this morning": (today, noon),
        "this afternoon": (noon, evening + timedelta(hours=1)),
        "this evening": (evening, None),
        "last night": (evening - timedelta(days=1), today + timedelta(hours=6)),
    }[day]
    return Scope(since=began.timestamp(), until=None if ended is None else ended.timestamp())
