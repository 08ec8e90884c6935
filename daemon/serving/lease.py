"""The models that hear and answer: which of them now, for one turn at a time; let go of for a
round, asked for again by a turn.

Knows no turn and no store.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engines.errors import AttuneError
from engines.interfaces import LanguageModel, Step, unwatched
from engines.routes import Route
from engines.types import SoftTokens

_WAKES = 3
"""How often the models are asked for again where they are let go of anew before they could be
used."""


@dataclass(frozen=True)
class LoadedRoute:
    """One way of hearing, as it is now."""

    route: Route
    words_of: Callable[[str | SoftTokens], str]
    """What was heard, for people."""
    generation: int | None
    """The generation whose projector takes part; None on the cascade."""
    asks_back: bool = False
    """Whether soft tokens that are not sure lead to a question in place of an answer."""
    adapter: Path | None = None
    """What the language model passes soft tokens through."""


class ModelLease:
    """Safe to use from several threads; the models are one thread's at a time."""

    def __init__(
        self,
        loaded: Mapping[str, LoadedRoute],
        route: str,
        language_model: LanguageModel,
        awake: Callable[[], None] = lambda: None,
    ) -> None:
        """Hear through `loaded[route]` unless another of `loaded` is asked for. After `rest`,
        `awake` is called by whoever needs the models next; it is to call `use`."""
        self._loaded = dict(loaded)
        self._route = route
        self._routes = frozenset(loaded)
        self._language_model: LanguageModel | None = language_model
        self._adapter: Path | None = None
        self._awake = awake
        self._busy = threading.Lock()
        """Held from somebody's first use of the models to their last."""
        self._lock = threading.Lock()

    @property
    def route(self) -> str:
        return self._route

    def check_route(self, route: str | None) -> None:
        """Raises AttuneError, listing those there are, where `route` is named and not one of
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
        """Hear through these, and answer with `language_model` where one is given, from the next
        turn on."""
        with self._lock:
            self._loaded, self._route, self._routes = dict(loaded), route, frozenset(loaded)
            if language_model is not None:
                self._language_model, self._adapter = language_model, None

    def exchange(
        self, loaded: Mapping[str, LoadedRoute], route: str, language_model: LanguageModel
    ) -> None:
        """As `use`, once nobody uses the models that served so far: they may be closed then."""
        with self._busy:
            self.use(loaded, route, language_model)

    def rest(self) -> None:
        """Let go of the models once nobody uses them; the conversation is forgotten."""
        with self._busy, self._lock:
            self._loaded, self._language_model = {}, None

    @property
    def resting(self) -> bool:
        """Whether the models were let go of."""
        return self._language_model is None

    @contextmanager
    def held(
        self, route: str | None = None, wake: bool = True
    ) -> Iterator[tuple[LoadedRoute, LanguageModel]]:
        """What hears through `route` or the one in use, and what answers; nobody else uses them
        until this ends.

        Raises AttuneError where they were let go of and cannot be opened again, or are not to be
        without `wake`.
        """
        self._hold(wake)
        try:
            with self._lock:
                # They are let go of by who holds `_busy` only.
                assert self._language_model is not None
                found = (
                    self._loaded.get(route or self._route, self._loaded[self._route]),
                    self._language_model,
                )
            yield found
        finally:
            self._busy.release()

    def _hold(self, wake: bool) -> None:
        """Take `_busy` with the models open. They are asked for without it: who opens them may have
        to wait for who closes them, and who closes them waits for `_busy`."""
        for _ in range(_WAKES):
            self._busy.acquire()
            if self._language_model is not None:
                return
            self._busy.release()
            if not wake:
                raise AttuneError("the models were let go of for a round")
            self._awake()
        raise AttuneError("the models could not be opened again; the daemon's log says why")

    def reply(
        self,
        loaded: LoadedRoute,
        language_model: LanguageModel,
        heard: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
    ) -> Generator[str, None, None]:
        """The reply to what `loaded` heard, through their adapter where that is soft tokens; only
        while they are `held`. What `step` raises, which is called before each bounded step of the
        work, ends it."""
        if isinstance(heard, SoftTokens) and loaded.adapter != self._adapter:
            language_model.set_adapter(loaded.adapter)
            self._adapter = loaded.adapter
        return cast(Generator[str, None, None], language_model.reply(heard, max_tokens, step))
