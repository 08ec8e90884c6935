"""What is served: the models, open or let go of, and the generation that the pointers name; and how
another comes to be served.

Knows no round: those who run them say when the memory of the models is needed and which generation
takes over.

Locks, each taken only by threads that hold none of those after it:

1. the memory guard's, held while it has models closed or opened;
2. `ModelManager._changing`: models are opened, closed or chosen, and pointers moved, by one thread
   at a time;
3. `ModelLender._busy`: one thread hears and answers;
4. those of the store, the events and the language model, which ask for no other.

A turn that finds the models closed asks for them before it takes the third, and what hears under it
takes neither of the first.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from engines.device.memory import trim
from engines.errors import AttuneError
from engines.generations.folder import Generation
from engines.types import Float32, Transcript

from ..config.settings import Settings
from ..events.bus import Events
from ..events.learning import ServingChanged
from ..store.store import Store
from .lease import LoadedRoute, ModelLender
from .models import ServingModels
from .moves import Moves
from .routing import RouteTable, choose, load_aligned

logger = logging.getLogger(__name__)


class ModelManager:
    def __init__(
        self,
        settings: Settings,
        open_models: Callable[[Settings], ServingModels],
        store: Store,
        events: Events,
    ) -> None:
        """Open the models. Raises AttuneError naming the first that is missing or damaged."""
        self._settings = settings
        self._open_models = open_models
        self._events = events
        models = open_models(settings)
        self.files = models.files
        self.general = models.general
        self._models: ServingModels | None = models
        self._changing = threading.RLock()
        self.moves = Moves(
            settings.generations, self._put_to_use, store.history.add_move, self._changing
        )
        """Who moves the pointers to generations while this daemon runs."""
        self.routes = self._choose(models)
        self.lender = ModelLender(
            self.routes.loaded, self.routes.route, models.language_model, self.load
        )

    @property
    def open(self) -> bool:
        """Whether the models are."""
        return self._models is not None

    @property
    def encoder_runs_by(self) -> str:
        """What runs the speech encoder, and where; empty while the models are closed, or without
        one."""
        models = self._models
        return models.encoder_runs_by() if models is not None else ""

    def reopen(self) -> None:
        """Open the models anew beside those that serve, then close these. Raises AttuneError, and
        nothing changes, as opening them does."""
        with self._changing:
            if self._models is None:
                return  # whoever opens them again finds the same
            before, after = self._models, self._open_models(self._settings)
            routes = self._choose(after)
            self.lender.exchange(routes.loaded, routes.route, after.language_model)
            self._models, self.routes = after, routes
            before.close()

    def close(self) -> None:
        """Close the models, where they are open, once nobody uses them."""
        with self._changing:
            self.lender.rest()
            models, self._models = self._models, None
            if models is not None:
                models.close()

    def unload(self) -> None:
        """As `close`, for a round that needs their memory: `load` opens them again."""
        with self._changing:
            self.close()
            self.routes = replace(self.routes, loaded={})

    def load(self) -> None:
        """Open them again. Raises AttuneError as opening them does."""
        began = time.monotonic()
        with self._changing:
            models = self._open_models(self._settings)
            self._models, self.routes = models, self._choose(models)
            self.lender.use(self.routes.loaded, self.routes.route, models.language_model)
        logger.info("the models are open again after %.2f s", time.monotonic() - began)

    def transcribe(self, samples: Float32) -> Transcript:
        """What the cascade hears; the models stay open meanwhile. Raises AttuneError where they are
        not open."""
        with self._changing:
            return self._opened().transcribe(samples)

    def load_route(self, generation: Generation) -> LoadedRoute:
        """The aligned route of a generation that is not served. To be called, and used, only while
        a lease, which keeps the models open. Raises AttuneError where it cannot be
        opened."""
        models = self._opened()
        return load_aligned(
            generation, self._settings.conversation.when_unsure, models.aligned, models.words_of
        )

    def reload(self) -> None:
        """Serve what the generation pointers say now, from the next turn on."""
        with self._changing:
            models = self._models
            if models is None:
                return  # they are looked at when the models are opened again
            routes = self.routes = self._choose(models)
            self.lender.use(routes.loaded, routes.route)
        self._events.publish(ServingChanged(generation=routes.generation, route=routes.route))

    def _put_to_use(self, generation: Generation) -> None:
        """Serve `generation`, which has become current. Raises AttuneError where it cannot be
        served.

        Where the models are closed it is tried when they are opened again.
        """
        self.reload()
        if self._models is not None and self.routes.generation != generation.number:
            raise AttuneError(
                f"generation {generation.number:04d} cannot be served:"
                f" {'; '.join(self.routes.problems)}"
            )

    def _choose(self, models: ServingModels) -> RouteTable:
        asked = self._settings.conversation
        chosen = choose(
            asked.route,
            asked.when_unsure,
            self._settings.generations,
            models.cascade,
            models.aligned,
            models.words_of,
        )
        trim()  # opening takes half as much again as what is open
        return chosen

    def _opened(self) -> ServingModels:
        models = self._models
        if models is None:
            raise AttuneError("the models are unloaded for a round")
        return models
