"""What the conversation asks of the abilities: the answer to what was heard, if one of them has it,
or an honest word if the language model would only make one up."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from ..alarms.spoken_times import said_time
from .ability import Ability, Answer, LastTurn
from .clock import said_date
from .help import examples
from .sentences.for_others import begins_as_order, is_for_others, wants
from .sentences.plain_request import runs_of_clauses
from .sentences.reported import asks, is_reported
from .sentences.small_talk import small_talk
from .sentences.understanding import Understanding, Understood
from .sentences.weak_model import kind_of


class Ringing(Protocol):
    """What rings when a time has come."""

    @property
    def ringing(self) -> bool:
        """Whether anything rings."""

    def end_ringing(self) -> object:
        """End what rings. Raises AttuneError if that cannot be stored."""

    def missed(self) -> list[str]:
        """Return a sentence for each that nobody heard, once."""


class NothingRings:
    """For a conversation without alarms."""

    ringing = False

    def end_ringing(self) -> None:
        """Do nothing."""

    def missed(self) -> list[str]:
        """Return nothing."""
        return []


@dataclass(frozen=True)
class Found:
    """An answer, and the name of the ability that gives it."""

    ability: str
    answer: Answer


class Abilities:
    """The abilities of a daemon. Safe to use from several threads: one waits for the other."""

    def __init__(
        self,
        abilities: Sequence[Ability],
        local_now: Callable[[], datetime],
        knows_little: Callable[[], bool] = lambda: False,
        alarms: Ringing | None = None,
        place: str = "",
        own_question: Callable[[], Found | None] = lambda: None,
    ) -> None:
        """`local_now` returns the time where the user is. `knows_little` says whether the language
        model is too weak for questions. `place` is where the user is, in words. `own_question`
        returns a question that the user is asked once."""
        self._understanding = Understanding(abilities)
        self._local_now = local_now
        self._knows_little = knows_little
        self._place = place
        self._own_question = own_question
        self._lock = threading.Lock()
        self.alarms = alarms or NothingRings()

    def facts(self) -> str:
        """Return what the language model has to know of the present, in a few sentences. It is
        asked in one mode only."""
        if self._knows_little():
            return ""  # it would talk of nothing else
        now = self._local_now()
        where = f" You are in {self._place}." if self._place else ""
        return (
            f"You are in assistant mode: what the user says is answered.{where}"
            f" Today is {said_date(now.date())}, and it is {said_time(now)}."
        )

    @property
    def words(self) -> list[str]:
        """Names that are likelier to be said than other words."""
        with self._lock:
            found = (word for ability in self._understanding.abilities for word in ability.words())
            return list(dict.fromkeys(found))

    @property
    def names(self) -> list[str]:
        """The names of the abilities."""
        return [ability.name for ability in self._understanding.abilities]

    def answer(
        self,
        texts: Sequence[str],
        last: LastTurn | None = None,
        completes: str = "",
        *,
        hands_over: Collection[str] = (),
    ) -> Found | None:
        """Return the answer to the first of `texts` that an ability understands: sentences that may
        have been said, the likeliest first. `completes` is the beginning of the sentence that was
        asked for, if one was. The client is Home Assistant where abilities are named in
        `hands_over`, and does in their place what it can. None if none is understood. Raises
        AttuneError if an ability fails."""
        now = self._local_now()
        find = partial(self._understanding.understand, now=now, last=last, hands_over=hands_over)
        with self._lock:
            found = find(texts)
            if found is None and completes:
                texts = [f"{completes} {text}" for text in texts]
                found = find(texts)
        if found is None:
            return None
        answer = found.answer
        if answer.completes and not found.whole and not _is_meant(found, texts[0]):
            return None
        if answer.if_yes is None and _acts(answer) and not _is_meant(found, texts[0]):
            answer = Answer("Shall I really do that?", if_yes=answer)
        return Found(found.ability.name, answer)

    def own_question(self) -> Found | None:
        """Return a question that is put to the user now, after a reply; None if there is none. Each
        is returned once. Raises AttuneError if that cannot be stored."""
        return self._own_question()

    def instead(self, text: str) -> str | None:
        """Return what is said in place of the language model's reply to `text`, which no ability
        understands; None if the language model may reply."""
        about = self._understanding.about(text)
        if about is not None:
            return f'I did not understand that. You can say, for example: "{about.example}".'
        if not self._knows_little():
            return None
        if (reply := small_talk(text)) is not None:
            return reply
        can = examples(self._understanding.abilities, 3)
        kinds = [kind_of(part) for part in (text, *runs_of_clauses(text))]
        if "question" in kinds:
            return f"I do not know that, and I will not make it up. You can say: {can}."
        if "command" in kinds:
            return f"I cannot do that. You can say: {can}."
        return None


def _acts(answer: Answer) -> bool:
    """Whether anything is changed by `answer`."""
    return bool(answer.intents) or (answer.act is not None and answer.changes)


def _is_meant(found: Understood, text: str) -> bool:
    """Whether `text`, of which `found` was understood, is likely to be an order to the assistant,
    and not a report of one, a story, or a word to somebody else."""
    grave = found.answer.grave
    # "Remind me to post the letter" names a letter, and reads none.
    by_nouns = grave or not (found.closely or begins_as_order(text))
    if is_reported(text, by_nouns=by_nouns) and (grave or not asks(text)):
        return False
    if found.closely:
        return True
    # What is misheard shows no want, and an ability that reads by itself knows such words.
    return not is_for_others(text) and (wants(text) or not found.by_template)
