"""What is served: the models, open or let go of, and the generation that the pointers name; and how another comes to be served.

Knows no round: those who run them say when the memory of the models is needed and which generation takes over.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from engines.errors import AttuneError
from engines.generation import Generation
from engines.heap import trim
from engines.pointers import rollback
from engines.types import Float32, Transcript

from .config import Settings
from .events import Events
from .regression import regression
from .routing import Hearing, aligned_ears, choose
from .serving import Ears, Serving
from .store import Store
from .voice import Voice

logger = logging.getLogger(__name__)


class Served:
    def __init__(
        self,
        settings: Settings,
        open_voice: Callable[[Settings], Voice],
        store: Store,
        events: Events,
        awake: Callable[[], None],
    ) -> None:
        """Open the models. `awake` is called by a turn that needs them after `unload`; it is to call `load`.

        Raises AttuneError naming the first that is missing or damaged.
        """
        self._settings, self._open_voice, self._store, self._events = settings, open_voice, store, events
        voice = open_voice(settings)
        self.files, self.general = voice.files, voice.general
        self._voice: Voice | None = voice
        self._changing = threading.RLock()
        """Held while models are opened or closed."""
        self.hearing = self._choose(voice)
        self.serving = Serving(self.hearing.ears, self.hearing.route, voice.language_model, awake)

    @property
    def open(self) -> bool:
        """Whether the models are."""
        return self._voice is not None

    @property
    def encoder_runs_by(self) -> str:
        """What runs the speech encoder, and where; empty while the models are closed, or without one."""
        return self._voice.encoder_runs_by() if self._voice is not None else ""

    def reopen(self) -> None:
        """Open the models anew beside those that serve, then close these. Raises AttuneError, and nothing changes, as opening
        them does."""
        with self._changing:
            if self._voice is None:
                return  # whoever opens them again finds the same
            before, self._voice = self._voice, self._open_voice(self._settings)
            self.hearing = self._choose(self._voice)
            self.serving.exchange(self.hearing.ears, self.hearing.route, self._voice.language_model)
            before.close()

    def close(self) -> None:
        """Close the models, where they are open."""
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.close()

    def unload(self) -> None:
        """Close the models once nobody uses them, for a round that needs their memory."""
        with self._changing:
            self.serving.rest()
            self.hearing = replace(self.hearing, ears={})
            self.close()

    def load(self) -> None:
        """Open them again. Raises AttuneError as opening them does."""
        began = time.monotonic()
        with self._changing:
            voice = self._voice = self._open_voice(self._settings)
            self.hearing = self._choose(voice)
            self.serving.use(self.hearing.ears, self.hearing.route, voice.language_model)
        logger.info("the models are open again after %.2f s", time.monotonic() - began)

    def transcribe(self, samples: Float32) -> Transcript:
        """What the cascade hears. Raises AttuneError where the models are not open."""
        return self._opened().transcribe(samples)

    def ears_of(self, generation: Generation) -> Ears:
        """The aligned route of a generation that is not served. Raises AttuneError where it cannot be opened."""
        voice = self._opened()
        return aligned_ears(generation, self._settings.conversation.when_unsure, voice.aligned, voice.words_of)

    def reload(self) -> None:
        """Serve what the generation pointers say now, from the next turn on."""
        if self._voice is None:
            return  # they are looked at when the models are opened again
        self.hearing = self._choose(self._voice)
        self.serving.use(self.hearing.ears, self.hearing.route)
        self._events.publish({"event": "serving", "generation": self.hearing.generation, "route": self.hearing.route})

    def put_to_use(self, generation: Generation, why: str) -> None:
        """Serve `generation`, which has become current. Raises AttuneError where it cannot be served."""
        self.reload()
        if self.hearing.generation != generation.number:
            raise AttuneError(f"generation {generation.number:04d} cannot be served: {'; '.join(self.hearing.problems)}")
        self._store.add_move(generation.number, why)

    def look_back(self) -> None:
        """Serve the previous generation again where the current one turns out worse than what was before it."""
        number = self.hearing.generation
        if not number or not self._settings.adapt.roll_back:  # what came with Attune gives way to nothing
            return
        reason = regression(*self._store.use(number))
        if reason is None:
            return
        try:
            back = rollback(self._settings.generations)
        except AttuneError as error:
            logger.warning("generation %04d should give way (%s), but cannot: %s", number, reason, error)
            return
        self.reload()
        reason = f"generation {number:04d} gave way: {reason}"
        self._store.add_move(back.number, reason)
        logger.warning("%s", reason)
        self._events.publish({"event": "rolled_back", "generation": back.number, "reason": reason})

    def _choose(self, voice: Voice) -> Hearing:
        asked = self._settings.conversation
        chosen = choose(asked.route, asked.when_unsure, self._settings.generations, voice.cascade, voice.aligned, voice.words_of)
        trim()  # opening takes half as much again as what is open
        return chosen

    def _opened(self) -> Voice:
        if self._voice is None:
            raise AttuneError("the models are unloaded for a round")
        return self._voice
