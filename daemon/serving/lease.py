"""Lends the models that hear and answer to one thread at a time. They may be closed for a round,
and are opened again for a turn.

Knows no turn and no store.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engines.errors import AttuneError
from engines.interfaces import LanguageModel, Step, unwatched
from engines.routes import Route
from engines.types import Float32, SoftTokens, TimedWord, Transcript
from engines.whisper.phrases import NO_PHRASES, PhraseBook

_WAKES = 3
"""Number of times that a thread asks for the models if they are closed again before it could use
them."""


@dataclass(frozen=True)
class LoadedRoute:
    """A route that is open, and what belongs to it."""

    route: Route
    words_of: Callable[[Transcript | SoftTokens], str]
    """Returns what was heard as text for the user."""
    generation: int | None
    """The generation whose projector takes part; None on the cascade."""
    asks_back: bool = False
    """Whether doubted words lead to a question instead of an answer."""
    adapter: Path | None = None
    """The adapter of the language model that soft tokens need; None if they need none."""


@dataclass(frozen=True)
class ModelLease:
    """One route and the language model, for one thread until the lease ends."""

    loaded: LoadedRoute
    language_model: LanguageModel
    _use_adapter: Callable[[Path | None], None]
    _phrases: PhraseBook = NO_PHRASES

    def hear(
        self, samples: Float32, step: Step = unwatched, expected: Sequence[str] = ()
    ) -> Transcript | SoftTokens:
        """Return what was said in `samples` ([N] at SAMPLE_RATE_HZ). Beside the user's own phrases
        those in `expected` are likelier than other words. `step` is called before each bounded step
        of the work; an exception from it ends the work."""
        return self.loaded.route.hear(samples, step, self._phrases.and_also(expected))

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """Return the words of `text`, which was heard in `samples`, with their times; none if they
        cannot be told apart."""
        return self.loaded.route.timed(samples, text)

    def words_of(self, heard: Transcript | SoftTokens) -> str:
        """Return what was heard as text for the user."""
        return self.loaded.words_of(heard)

    def reply(
        self,
        heard: Transcript | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Generator[str, None, None]:
        """Yield the reply to what this lease's route heard, piece by piece. `step` is called as in
        `hear`. A `provisional` reply forgets nothing for its own sake, and raises AttuneError if it
        would have to."""
        if isinstance(heard, SoftTokens):
            self._use_adapter(self.loaded.adapter)
        read = heard.text if isinstance(heard, Transcript) else heard
        stream = self.language_model.reply(read, max_tokens, step, provisional)
        return cast(Generator[str, None, None], stream)

    def withdraw(self) -> None:
        """Forget the last turn, as if it had never been."""
        self.language_model.withdraw()

    def forget(self, facts: str = "") -> None:
        """Begin a new conversation, in which `facts` are true."""
        self.language_model.reset(facts)


class ModelLender:
    """Lends the open models. Safe to use from several threads; the models are one thread's at a
    time."""

    def __init__(
        self,
        loaded: Mapping[str, LoadedRoute],
        route: str,
        language_model: LanguageModel,
        wake: Callable[[], None] = lambda: None,
        phrases: Callable[[], PhraseBook] = lambda: NO_PHRASES,
    ) -> None:
        """Lend `loaded[route]` unless the caller asks for another of `loaded`. After `rest`, the
        thread that needs the models next calls `wake`, which has to call `use`. `phrases` returns
        the user's own phrases as they are now."""
        self._loaded = dict(loaded)
        self._route = route
        self._routes = frozenset(loaded)
        self._language_model: LanguageModel | None = language_model
        self._adapter: Path | None = None
        self._wake = wake
        self._phrases = phrases
        self._busy = threading.Lock()
        """Held as long as a lease lasts."""
        self._lock = threading.Lock()

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Let a thread that needs the models after `rest` call `wake` from now on."""
        self._wake = wake

    @property
    def route(self) -> str:
        """The route that is used if the caller asks for none."""
        return self._route

    @property
    def routes(self) -> frozenset[str]:
        """The names of all routes, of those also that are released for now."""
        return self._routes

    def check_route(self, route: str | None) -> None:
        """Raise AttuneError, with a list of the routes, if `route` is named and is not one of
        them."""
        if route is not None and route not in self._routes:
            raise AttuneError(
                f"there is no {route} route here; routes are: {', '.join(sorted(self._routes))}"
            )

    def use(
        self,
        loaded: Mapping[str, LoadedRoute],
        route: str,
        language_model: LanguageModel | None = None,
    ) -> None:
        """Lend these routes from the next lease on, and `language_model` if one is given."""
        with self._lock:
            self._loaded, self._route, self._routes = dict(loaded), route, frozenset(loaded)
            if language_model is not None:
                self._language_model, self._adapter = language_model, None

    def exchange(
        self, loaded: Mapping[str, LoadedRoute], route: str, language_model: LanguageModel
    ) -> None:
        """Call `use` once no thread uses the old models: the caller may close them then."""
        with self._busy:
            self.use(loaded, route, language_model)

    def rest(self) -> None:
        """Release the models once no thread uses them. The conversation is forgotten."""
        with self._busy, self._lock:
            self._loaded, self._language_model = {}, None

    @property
    def resting(self) -> bool:
        """Whether the models were released by `rest`."""
        return self._language_model is None

    @contextmanager
    def lease(self, route: str | None = None, wake: bool = True) -> Iterator[ModelLease]:
        """Lend the models with `route`, or with the route in use; no other thread has them until
        the block ends.

        Raises AttuneError if the models were released and cannot be opened again, or if they were
        released and `wake` is False.
        """
        self._hold(wake)
        try:
            with self._lock:
                # Only the thread that holds `_busy` releases them.
                assert self._language_model is not None
                lease = ModelLease(
                    self._loaded.get(route or self._route, self._loaded[self._route]),
                    self._language_model,
                    self._use_adapter,
                    self._phrases(),
                )
            yield lease
        finally:
            self._busy.release()

    def _hold(self, wake: bool) -> None:
        """Take `_busy` with the models open. `_busy` is free while they are asked for: the thread
        that opens them may have to wait for the one that closes them, which waits for `_busy`."""
        for _ in range(_WAKES):
            self._busy.acquire()
            if self._language_model is not None:
                return
            self._busy.release()
            if not wake:
                raise AttuneError("the models are unloaded for a round")
            self._wake()
        raise AttuneError("the models could not be opened again; the daemon's log says why")

    def _use_adapter(self, adapter: Path | None) -> None:
        """Let soft tokens pass through `adapter`. May be called only within a lease."""
        if adapter != self._adapter:
            assert self._language_model is not None
            self._language_model.set_adapter(adapter)
            self._adapter = adapter
