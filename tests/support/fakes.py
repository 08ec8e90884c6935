"""Tiny, honest stand-ins for what is slow or needs hardware: they keep the contracts and nothing
else."""

import json
import math
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daemon.config.settings import Settings
from daemon.serving.models import ServingModels
from engines.chat import ChatMessage, Completion, Sampling, TooLongError
from engines.errors import AttuneError
from engines.generations.card import Card
from engines.generations.folder import Generation, write_generation
from engines.interfaces import Step, unwatched
from engines.types import SAMPLE_RATE_HZ, Float32, SoftTokens, TimedWord, Transcript
from engines.whisper.phrases import NO_PHRASES, PhraseBook
from engines.whisper.transcript_confidence import TranscriptConfidence
from tests.support.fake_child import no_models


def tone(seconds: float, pitch_hz: float = 220.0) -> Float32:
    """A quiet steady sound: different pitches are different utterances."""
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)


class EchoLanguageModel:
    """Says back what it read, one word a piece, and how many turns it remembers.

    `hold`: a reply waits here before its first piece, or after `hold_after` pieces, so that a test
    decides when it goes on.
    """

    def __init__(self) -> None:
        self.remembered: list[str] = []
        self.adapters: list[Path | None] = []
        self.hold = threading.Event()
        self.hold.set()
        self.began = threading.Event()
        self.hold_after = 0
        self.seconds_per_word = 0.0

    def reply(
        self,
        words: str | SoftTokens,
        max_tokens: int,
        step: Step = unwatched,
        provisional: bool = False,
    ) -> Generator[str, None, None]:
        heard = words if isinstance(words, str) else f"{len(words.vectors)} tokens"
        if heard == "too long":
            raise AttuneError("the words do not fit; say less")
        if heard == "defect":
            raise ZeroDivisionError("a defect")
        said: list[str] = []
        self.began.set()
        try:
            for number, word in enumerate(
                f"{len(self.remembered)} {heard}".split(" ")[:max_tokens]
            ):
                if number == self.hold_after:
                    self.hold.wait(120)
                time.sleep(self.seconds_per_word)
                step()
                said.append(word)
                yield f"{word} "
        finally:
            self.remembered.append(" ".join(said))

    @property
    def client_chat(self) -> "EchoClientChat":
        return EchoClientChat(self)

    def withdraw(self) -> None:
        if self.remembered:
            self.remembered.pop()

    def suspend(self) -> object:
        return tuple(self.remembered)

    def resume(self, suspended: object, step: Step = unwatched) -> None:
        assert isinstance(suspended, tuple)
        step()
        self.remembered[:] = suspended

    def reset(self, facts: str = "") -> None:
        self.remembered.clear()
        self.facts = facts

    def set_adapter(self, adapter: Path | None) -> None:
        self.adapters.append(adapter)
        self.remembered.clear()


class EchoClientChat:
    """Says back the last message, one word a piece, and how many messages there are; with tools,
    calls the first of them with those words."""

    knows_tools = True

    def __init__(self, model: EchoLanguageModel) -> None:
        self._model = model

    def complete(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        tools: Sequence[Mapping[str, Any]] = (),
        step: Step = unwatched,
        told: Completion | None = None,
        *,
        must_call: bool = False,
    ) -> Generator[str, None, None]:
        told = Completion() if told is None else told
        last = messages[-1].content
        if last == "too long":
            raise TooLongError("the messages do not fit; send less")
        if last == "defect":
            raise ZeroDivisionError("a defect")
        told.prompt_tokens = sum(len(one.content.split()) for one in messages)
        words = f"{len(messages)} {last}".split(" ")
        if tools:
            call = {"name": tools[0]["function"]["name"], "arguments": {"text": last}}
            words = f"<tool_call>\n{json.dumps(call)}\n</tool_call>".split(" ")
        self._model.began.set()
        for number, word in enumerate(words[: sampling.max_tokens]):
            if number == self._model.hold_after:
                self._model.hold.wait(120)
            time.sleep(self._model.seconds_per_word)
            step()
            told.completion_tokens += 1
            yield word if number == 0 else f" {word}"
        told.finish_reason = "stop" if len(words) <= sampling.max_tokens else "length"


class PitchRoute:
    """Hears tones: a transcript that names the pitch on the cascade, one soft token for each
    quarter of a second when aligned.

    Aligned, it is not sure of tones below `doubts_below_hz`.
    """

    def __init__(self, name: str = "cascade", doubts_below_hz: int = 0) -> None:
        self._name = name
        self._doubts_below_hz = doubts_below_hz

    def ready(self) -> None:
        """It is."""

    @property
    def name(self) -> str:
        return self._name

    def hear(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript | SoftTokens:
        step()
        if self._name == "aligned":
            count = int(4 * len(samples) / SAMPLE_RATE_HZ)
            sure = pitch_of(samples) >= self._doubts_below_hz
            vectors = np.zeros((count, 4), np.float32)
            return SoftTokens(vectors, float(count), confidence=0.9 if sure else 0.1, sure=sure)
        return Transcript(f"a tone of {pitch_of(samples)}")

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        return timed(text)


def timed(text: str) -> list[TimedWord]:
    """A word in each tenth of a second."""
    return [
        TimedWord(word, place / 10, (place + 1) / 10) for place, word in enumerate(text.split())
    ]


def pitch_of(samples: Float32) -> int:
    """The loudest frequency, in hertz."""
    return round(float(np.abs(np.fft.rfft(samples)).argmax()) * SAMPLE_RATE_HZ / len(samples))


def transcribe(samples: Float32) -> Transcript:
    """What is recognised in a tone, with more confidence the longer it is."""
    probability = min(1.0, len(samples) / SAMPLE_RATE_HZ)
    return Transcript(f"a tone of {pitch_of(samples)}", math.log(probability), tokens=1)


@dataclass(frozen=True)
class FakeTranscriber:
    """Transcribes by a function, that of tones where no other is given. What was heard in a
    recording of a phrase is that phrase, and one that begins with "Ton" sounds like a tone."""

    by: Callable[[Float32], Transcript] = transcribe

    def transcribe(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        step()
        heard = self.by(samples)
        rhyming = [
            heard.text.replace("tone", text) for text in phrases.texts if text.startswith("Ton")
        ]
        found = phrases.meant_by(heard.text) or rhyming
        return replace(heard, text=found[0]) if found else heard

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        return timed(text)


def words_of(heard: Transcript | SoftTokens) -> str:
    return heard.text if isinstance(heard, Transcript) else " ".join(["soft"] * len(heard.vectors))


def fake_models(settings: Settings) -> ServingModels:
    """Everything that a daemon needs to hear tones and to answer."""
    return ServingModels(
        EchoLanguageModel(),
        lambda _generation: FakeTranscriber(),
        lambda _generation, _unsure: PitchRoute("aligned"),
        words_of,
        no_models(settings.cache_dir),
        general=[],
    )


PROVEN = TranscriptConfidence(offset=3.0, slope=4.0, threshold=0.5, precision=1.0)
"""The confidence of a recogniser whose transcripts may be learnt from: of tones of a second or
more, it is sure enough."""


def write_base(
    generations: Path, transcript_confidence: TranscriptConfidence | None = None
) -> Generation:
    """A generation 0 whose files hold no weights."""
    empty = generations.parent / "empty"
    empty.parent.mkdir(parents=True, exist_ok=True)
    empty.write_bytes(b"")
    card = Card(
        number=0,
        parent=None,
        created_at="",
        recipe="base",
        transcript_confidence=transcript_confidence,
    )
    return write_generation(
        generations, 0, card, {"projector.onnx": empty, "projector.safetensors": empty}
    )
