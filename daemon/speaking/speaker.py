"""Says texts aloud, one after another, in a thread of its own. A text may be said while it is still
being written.

Knows voices and a loudspeaker; knows no turn and no model.
"""

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from engines.errors import AttuneError
from engines.types import Float32
from engines.voices.voice import Voice

from ..attention import Attention
from . import sounds
from .clauses import ClauseCutter
from .clip import clip
from .loudspeaker import Loudspeaker, Sounded
from .played_sound import PlayedSound

logger = logging.getLogger(__name__)

_AHEAD_SECONDS = 2.0
"""Sound that may wait to be played while the next clause is made: more would be made in vain if the
reply is stopped."""
_IDLE_SECONDS = 60.0
"""Time without anything to say after which the voice is closed: its memory is for rounds, then."""


@dataclass(frozen=True)
class Said:
    """How the saying of one text went."""

    seconds: float = 0.0
    """Length of the sound that was given to the loudspeaker."""
    first_sound_at: float | None = None
    """When the first of it began to sound, by `time.monotonic`; None if none did."""
    stopped: bool = False
    """Whether it was stopped before its end."""
    problem: str = ""
    """Why not all of it was said; empty if all was, or it was stopped."""


@dataclass(frozen=True)
class SpeakerStatus:
    """The state of the voice."""

    voice: str = ""
    """The voice that was used last; empty as long as none was opened."""
    loudspeaker: str = ""
    problem: str = ""
    """Why nothing can be said; empty while that is not known to be so."""
    speaking: bool = False


@dataclass(eq=False)
class Speech:
    """One text on its way to the loudspeaker. Its pieces may come from any thread."""

    ended: Callable[[Said], object]
    """Called in the speaker's thread once all was said, or nothing more will be."""
    voice: str | None = None
    """The voice to use; None for the usual one."""
    pieces: "queue.SimpleQueue[str | None]" = field(default_factory=queue.SimpleQueue)
    """What is to be said; None ends it."""
    stopped: threading.Event = field(default_factory=threading.Event)

    def push(self, piece: str) -> None:
        """Say `piece` after what was pushed before."""
        self.pieces.put(piece)

    def finish(self) -> None:
        """Push no more."""
        self.pieces.put(None)

    def drop(self) -> None:
        """Say nothing more of it. What the loudspeaker has already sounds on."""
        self.stopped.set()
        self.finish()


class Speaker:
    """The thread that speaks."""

    def __init__(
        self,
        open_voice: Callable[[str | None], Voice],
        loudspeaker: Loudspeaker,
        attention: Attention,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        """Start the thread. `open_voice` opens the voice of that name, or the usual one; it may
        take a second, and raises AttuneError if there is none. The usual one is closed after
        `idle_seconds` without anything to say."""
        self._open_voice = open_voice
        self._loudspeaker = loudspeaker
        self._attention = attention
        self._idle_seconds = idle_seconds
        self.reply_began_at: float | None = None
        """When the text that is said, or was said last, began to sound, by `time.monotonic`."""
        self.played = PlayedSound()
        """What the loudspeaker played in the last seconds."""
        loudspeaker.sounded.subscribe(self.played.note)
        self._voice: Voice | None = None
        self._prepared: dict[str, Float32] = {}
        """The sound of a clause that may be said next."""
        self._preparing = ClauseCutter()
        self._status = SpeakerStatus()
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._speeches: list[Speech] = []
        """Those that are said or wait to be."""
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)
        self._thread.start()

    # --- from other threads

    def begin(
        self, ended: Callable[[Said], object] = lambda said: None, voice: str | None = None
    ) -> Speech:
        """Begin a text, which is said after those that wait. Call its `push` and `finish`."""
        speech = Speech(ended, voice)
        with self._lock:
            self._speeches.append(speech)
        self._attention.begin()
        self._waiting.put(lambda: self._take(speech))
        return speech

    def wake(self) -> None:
        """Open the voice and the loudspeaker, because there is something to say soon."""
        self._waiting.put(self._wake)

    def try_out(self) -> None:
        """Find out whether there are a loudspeaker and a voice, and which; free the voice again."""
        self._waiting.put(self._wake)
        self._waiting.put(self._close_voice)

    def prepare(self, piece: str) -> None:
        """Compute the sound of a text's first clause before it may be said; `piece` follows those
        before. It is kept until the next text, or `forget`."""
        self._waiting.put(lambda: self._prepare(piece))

    def forget(self) -> None:
        """Forget what was prepared."""
        self._waiting.put(self._forget)

    def play(self, name: sounds.Sound) -> None:
        """Play a short sound after what is being said."""
        self._waiting.put(lambda: self._play_sound(name))

    def play_back(self, samples: Float32, rate_hz: int) -> None:
        """Play [N] mono `samples` of the user's after what is being said."""
        self._waiting.put(lambda: self._play_samples(samples, rate_hz))

    def stop(self, only: Speech | None = None) -> bool:
        """Fall silent, and say nothing more of the texts that were begun, or of `only` one of them.
        Returns whether there was any."""
        with self._lock:
            stopped = [speech for speech in self._speeches if only in (None, speech)]
            silenced = stopped[:1] == self._speeches[:1]
        for speech in stopped:
            speech.drop()
        if stopped and silenced:
            self._loudspeaker.stop()
        return bool(stopped)

    @property
    def speaking(self) -> bool:
        """Whether a text is being said, or waits to be."""
        return bool(self._speeches)

    @property
    def volume(self) -> float:
        """The volume, 0 to 1."""
        return self._loudspeaker.volume

    def set_volume(self, volume: float) -> None:
        """Speak with another volume, 0 to 1, from the next clause on."""
        self._loudspeaker.volume = volume

    def let_go(self) -> None:
        """Close the voice, for its memory; the next text opens it again."""
        self._waiting.put(self._close_voice)

    def status(self) -> SpeakerStatus:
        """Return the state of the voice. May be called from any thread."""
        return replace(
            self._status,
            loudspeaker=self._loudspeaker.status().device,
            speaking=self.speaking,
        )

    def close(self) -> None:
        """Fall silent, and end the thread."""
        self.stop()
        self._waiting.put(None)
        self._close_voice()  # it may be computing, or hang
        self._thread.join()
        self._close_voice()

    # --- in the thread

    def _next(self) -> Callable[[], None] | None:
        """What to do next; None to end. Meanwhile a voice that says nothing is closed."""
        with suppress(queue.Empty):
            return self._waiting.get(timeout=self._idle_seconds if self._voice else None)
        self._close_voice()
        return self._waiting.get()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # a defect in one text must not end the thread that says all others
                logger.exception("speaking failed")

    def _wake(self) -> None:
        try:
            self._loudspeaker.wake()
            self._usual_voice()
        except AttuneError as error:
            self._note(str(error))

    def _prepare(self, piece: str) -> None:
        if self._prepared:
            return
        for clause in self._preparing.push(piece):
            try:
                voice = self._usual_voice()
                self._prepared = {clause: clip(voice.speak(clause), voice.rate_hz, clause)}
            except AttuneError as error:
                self._close_voice()
                self._note(str(error))
            return

    def _forget(self) -> None:
        self._prepared, self._preparing = {}, ClauseCutter()

    def _play_sound(self, name: sounds.Sound) -> None:
        try:
            # Its echo is left in what the microphone hears: it is short and no speech, and while an
            # echo is taken out, a user who has just begun to speak may not be heard.
            self._loudspeaker.play(sounds.sound(name), sounds.RATE_HZ, is_told=False)
        except AttuneError as error:
            self._note(str(error))

    def _play_samples(self, samples: Float32, rate_hz: int) -> None:
        try:
            self._loudspeaker.play(samples, rate_hz)
        except AttuneError as error:
            self._note(str(error))

    def _close_voice(self) -> None:
        voice, self._voice = self._voice, None
        if voice is not None:
            voice.close()

    def _take(self, speech: Speech) -> None:
        said = Said()
        try:
            said = self._say(speech)
        except AttuneError as error:
            self._close_voice()  # which may have been what failed; the next text opens it anew
            self._note(str(error))
            said = Said(problem=str(error))
        finally:
            with self._lock:
                self._speeches.remove(speech)
            self._attention.end()
            speech.ended(said)

    def _say(self, speech: Speech) -> Said:
        """Say a text to its end, or until it is stopped. Raises AttuneError if that fails."""
        heard: list[float] = []

        def note(sound: Sounded) -> None:
            if not heard:
                self.reply_began_at = sound.at
            heard.append(sound.at)

        unsubscribe = self._loudspeaker.sounded.subscribe(note)
        seconds, cutter, voice = 0.0, ClauseCutter(), None
        try:
            while not speech.stopped.is_set():
                piece = speech.pieces.get()
                for clause in cutter.push(piece) if piece is not None else cutter.flush():
                    voice = voice or self._voice_of(speech)
                    seconds += self._say_clause(speech, voice, clause)
                if piece is None:
                    break
            if not speech.stopped.is_set():
                self._loudspeaker.wait()
        finally:
            unsubscribe()
            self._forget()
            if voice is not None and voice is not self._voice:
                voice.close()
        return Said(seconds, heard[0] if heard else None, speech.stopped.is_set())

    def _say_clause(self, speech: Speech, voice: Voice, clause: str) -> float:
        """Give a clause to the loudspeaker once there is room; returns its seconds."""
        if speech.stopped.is_set():
            return 0.0
        sound = self._prepared.pop(clause, None) if speech.voice is None else None
        if sound is None:
            sound = clip(voice.speak(clause), voice.rate_hz, clause)
        if speech.stopped.is_set() or not len(sound):
            return 0.0
        self._loudspeaker.play(sound, voice.rate_hz, _AHEAD_SECONDS)
        if speech.stopped.is_set():  # it may have been stopped while the sound was given
            self._loudspeaker.stop()
        self._status = replace(self._status, problem="")
        return len(sound) / voice.rate_hz

    def _voice_of(self, speech: Speech) -> Voice:
        return self._usual_voice() if speech.voice is None else self._open_voice(speech.voice)

    def _usual_voice(self) -> Voice:
        if self._voice is None:
            self._voice = self._open_voice(None)
            self._status = replace(self._status, voice=self._voice.name)
        return self._voice

    def _note(self, problem: str) -> None:
        if problem != self._status.problem:  # once, not for every reply
            logger.warning("nothing can be said aloud: %s", problem)
        self._status = replace(self._status, problem=problem)
