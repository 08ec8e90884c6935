"""Bounds the time and the damage of an ability that may hang or fail: it costs one sentence."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from engines.errors import AttuneError

from .ability import Ability, Answer

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 4.0
Result = TypeVar("Result")


def patient(ability: Ability, seconds: float = PATIENCE_SECONDS) -> Ability:
    """Return `ability` with answers and acts that take at most `seconds` each. One that takes
    longer, or fails, gives an answer that says so, and nothing more is asked of the ability while
    it hangs."""
    worker = _Worker(ability.name, seconds)

    def bounded(found: Answer | None) -> Answer | None:
        if found is None:
            return None
        act = found.act
        return replace(
            found,
            act=None if act is None else lambda: worker.result(act),
            if_yes=bounded(found.if_yes),
        )

    def asked(function: Callable[[], Answer | None]) -> Answer | None:
        try:
            return bounded(worker.result(function))
        except AttuneError as error:
            return Answer(str(error))

    def found(function: Callable[[], Result], nothing: Result) -> Result:
        """What `function` finds; `nothing` if it fails, for it is asked about every sentence."""
        try:
            return worker.result(function)
        except AttuneError as error:
            logger.warning("%s was not asked: %s", ability.name, error)
            return nothing

    return replace(
        ability,
        answer=lambda request: asked(lambda: ability.answer(request)),
        reads=lambda text: bounded(found(lambda: ability.reads(text), None)),
        by_keywords=lambda request: found(lambda: ability.by_keywords(request), None),
        hands_over=lambda request: found(lambda: ability.hands_over(request), ()),
        words=lambda: found(ability.words, ()),
    )


class _Worker:
    """Runs functions of one ability, one at a time, each in a thread that can be left behind."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def result(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns. Raises AttuneError if it takes too long or fails."""
        if not self._lock.acquire(timeout=self._seconds):
            raise AttuneError(f"Sorry, {self._name} is busy.")
        try:
            return self._result(function)
        finally:
            self._lock.release()

    def _result(self, function: Callable[[], Result]) -> Result:
        if self._thread is not None and self._thread.is_alive():
            raise AttuneError(f"Sorry, {self._name} still does not answer.")
        found: list[Result] = []
        failed: list[AttuneError] = []

        def run() -> None:
            try:
                found.append(function())
            except AttuneError as error:
                failed.append(error)
            except Exception:  # whatever another's code raises
                logger.exception("the ability %s failed", self._name)
                failed.append(AttuneError(f"Sorry, {self._name} failed."))

        self._thread = threading.Thread(target=run, name=f"ability-{self._name}", daemon=True)
        self._thread.start()
        self._thread.join(self._seconds)
        if failed:
            raise failed[0]
        if not found:
            logger.error("the ability %s did not answer in %.1f s", self._name, self._seconds)
            raise AttuneError(f"Sorry, {self._name} does not answer.")
        return found[0]
