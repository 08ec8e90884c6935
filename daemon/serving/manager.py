"""Opens, closes and replaces what is served: the models, and the generation that the pointers name.

Knows no round: the callers that run rounds say when the models' memory is needed, and which
generation takes over.

Locks, each taken only by threads that hold none of those after it:

1. the memory guard's lock, held while it lets models be closed or opened;
2. `ModelManager._changing`: one thread at a time opens, closes or chooses models, and moves
   pointers;
3. `ModelLender._busy`: one thread at a time hears and answers;
4. the locks of the store, the events and the language model, which ask for no other lock.

A turn that finds the models closed asks for them before it takes the third lock, and a thread that
hears under the third takes neither of the first two.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from engines.device.memory import trim
from engines.errors import AttuneError
from engines.generations.folder import Generation
from engines.types import Float32, Transcript

from ..config.settings import Settings
from ..events.bus import Events
from ..events.learning import ServingChanged
from ..store.personal_vocabulary import PersonalVocabulary
from ..store.store import Store
from ..users.places import generations_of, of_others
from ..users.users import Users
from .lease import LoadedRoute, ModelLender
from .models import ServingModels
from .moves import Moves
from .routing import RouteTable, choose, load_unserved

logger = logging.getLogger(__name__)


class ModelManager:
    def __init__(
        self,
        settings: Settings,
        open_models: Callable[[Settings], ServingModels],
        store: Store,
        users: Users,
        vocabulary: PersonalVocabulary,
        events: Events,
    ) -> None:
        """Open the models. Raises AttuneError that names the first missing or damaged one."""
        self._settings = settings
        self._open_models = open_models
        self._users = users
        self._store = store
        self._vocabulary = vocabulary
        self._events = events
        models = open_models(settings)
        self.files = models.files
        self.general = models.general
        self._models: ServingModels | None = models
        self._changing = threading.RLock()
        self.user = users.served.id
        """The user who is served by the routes."""
        self.routes = self._choose(models)
        self.lender = ModelLender(
            self.routes.loaded | self.routes.compared,
            self.routes.route,
            models.language_model,
            self.load,
            vocabulary.book,
        )

    @property
    def open(self) -> bool:
        """Whether the models are open."""
        return self._models is not None

    @property
    def encoder_runs_by(self) -> str:
        """What runs the speech encoder, and where; empty while the models are closed, or if there
        is no encoder."""
        models = self._models
        return models.encoder_runs_by() if models is not None else ""

    @property
    def opened_plan(self) -> bool:
        """Whether the encoder's plan is open."""
        models = self._models
        return models is not None and models.opened_plan()

    @property
    def generations(self) -> Path:
        """The folder of generations with the pointers of the user who is served beside it."""
        return self._generations_of(self._users.served.id)

    @property
    def moves(self) -> Moves:
        """What moves the pointers of the user who is served. No other place moves them while this
        daemon runs."""
        return self.moves_of(self._users.served.id)

    def moves_of(self, user: int) -> Moves:
        """What moves the pointers of `user`."""

        def put_to_use(generation: Generation) -> None:
            if user == self._users.served.id:
                self._put_to_use(generation)

        return Moves(
            self._generations_of(user),
            put_to_use,
            partial(self._store.history.add_move, user=user),
            self._changing,
            lambda: of_others(self._settings.generations, self._users, user),
            user,
        )

    def serve_user(self, user: int, *, kept: bool = True) -> bool:
        """Serve `user` from the next turn on; for no longer than this process runs, unless `kept`.
        Returns whether somebody else was served. Raises AttuneError, and changes nothing, if there
        is no such user, or that cannot be stored or served."""
        with self._changing:
            before = self._users.served.id
            if user == before:
                return False
            self._users.serve(user, kept=kept)
            try:
                self.reload()
            except AttuneError:
                self._users.serve(before, kept=kept)
                raise
            return True

    def _generations_of(self, user: int) -> Path:
        return generations_of(self._settings.generations, user)

    def reopen(self) -> None:
        """Open the models anew beside those that serve, serve them, and close the old ones. Raises
        AttuneError, and changes nothing, if they cannot be opened."""
        with self._changing:
            if self._models is None:
                return  # what was built is found when they are opened again
            before, after = self._models, self._open_models(self._settings)
            routes = self._choose(after)
            self.lender.exchange(
                routes.loaded | routes.compared, routes.route, after.language_model
            )
            self._models, self.routes = after, routes
            before.close()

    def close(self) -> None:
        """Close the models, if they are open, once no thread uses them."""
        with self._changing:
            self.lender.rest()
            models, self._models = self._models, None
            if models is not None:
                models.close()

    def unload(self) -> None:
        """Close the models for a round that needs their memory; `load` opens them again."""
        with self._changing:
            self.close()
            self.routes = replace(self.routes, loaded={}, cascade=None, compared={})

    def load(self) -> None:
        """Open the models again after `unload`. Raises AttuneError if they cannot be opened."""
        began = time.monotonic()
        with self._changing:
            models = self._open_models(self._settings)
            self._models, self.routes = models, self._choose(models)
            self.lender.use(
                self.routes.loaded | self.routes.compared,
                self.routes.route,
                models.language_model,
            )
        logger.info("the models are open again after %.2f s", time.monotonic() - began)

    def transcribe(self, samples: Float32) -> Transcript:
        """Return the cascade's transcript of `samples`, with the confidence in it; the models stay
        open meanwhile. Raises AttuneError if they are not open."""
        with self._changing:
            cascade = self.routes.cascade
            if cascade is None:
                raise _unloaded()
            return cascade.hear(samples, phrases=self._vocabulary.book())

    @property
    def writes_labels(self) -> bool:
        """Whether the models are open, and sure transcripts of theirs have proven right on this
        user's held-out utterances."""
        cascade = self.routes.cascade
        confidence = cascade.confidence if cascade is not None else None
        return confidence is not None and confidence.writes_labels

    def load_route(self, generation: Generation) -> LoadedRoute:
        """Open the route on which a generation that is not served would be. Call this, and use the
        route, only within a lease, which keeps the models open. Raises AttuneError if the route
        cannot be opened."""
        models, asked = self._opened(), self._settings.conversation
        return load_unserved(
            generation,
            asked.route,
            asked.when_unsure,
            models.transcriber,
            models.aligned,
            models.words_of,
        )

    def reload(self) -> None:
        """Serve the generation that the pointers name now, from the next turn on."""
        with self._changing:
            models = self._models
            if models is None:
                return  # the pointers are read when the models are opened again
            routes = self.routes = self._choose(models)
            self.lender.use(routes.loaded | routes.compared, routes.route)
        self._events.publish(ServingChanged(generation=routes.generation, route=routes.route))

    def _put_to_use(self, generation: Generation) -> None:
        """Serve `generation`, which has become current. Raises AttuneError if it cannot be served.

        If the models are closed, it is tried when they are opened again.
        """
        self.reload()
        if self._models is not None and self.routes.generation != generation.number:
            raise AttuneError(
                f"generation {generation.number:04d} cannot be served:"
                f" {'; '.join(self.routes.problems)}"
            )

    def _choose(self, models: ServingModels) -> RouteTable:
        asked = self._settings.conversation
        self.user = self._users.served.id
        chosen = choose(
            asked.route,
            asked.when_unsure,
            self.generations,
            models.transcriber,
            models.aligned,
            models.words_of,
            self.user,
        )
        trim()  # opening takes half as much memory again as what stays open
        return chosen

    def _opened(self) -> ServingModels:
        models = self._models
        if models is None:
            raise _unloaded()
        return models


def _unloaded() -> AttuneError:
    return AttuneError("the models are unloaded for a round")
