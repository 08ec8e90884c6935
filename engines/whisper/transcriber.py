"""Transcribes speech with Whisper's own decoder, through faster-whisper on CTranslate2. Knows
samples, no streams.

The decoder needs a window of 30 s, or at least its end (`whisper/first_pass.py`): on frames trimmed
to the utterance it invents text.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AttuneError
from ..interfaces import Step, unwatched
from ..llm.degeneration import without_cycle
from ..types import SAMPLE_RATE_HZ, Device, Float32, Transcript
from .phrases import NO_PHRASES, PhraseBook
from .second_pass import Reading, leaves_doubt, read_again

if TYPE_CHECKING:
    from ctranslate2.models import WhisperGenerationResult

logger = logging.getLogger(__name__)

NOTHING = Transcript("")

FILES = ("config.json", "model.bin", "tokenizer.json")
_REMEDY = "run `attune models fetch`"
_SHORTEST_SECONDS = 0.1
_SILENT_PEAK = 1e-3
"""The peak below which audio counts as silent (-60 dB of full scale): Whisper invents words in a
recording's own noise when there is nothing else."""
_NO_SPEECH_PROBABILITY = 0.6
_MAX_TOKENS_PER_SECOND = 10
"""Bounds the time of a decode that falls into a loop; quick speech has about 5 tokens a second."""
_MAX_TOKENS_ALWAYS = 20
_MAX_TOKENS = 224
"""Half of the decoder's 448 positions: the other half is for a previous text, which Attune never
gives."""
_POSITIONS = 448
_LEAST_PROBABILITY = 1e-9
_ALIGNED_AT_ONCE = 6
"""The sentences that are compared at once: each takes some megabytes."""
_PROMPT_TOKENS = 4
"""The most tokens before the text: start, language, task, and no timestamps."""


class WhisperTranscriber:
    """A Whisper model in CTranslate2, with 8 bits on the CPU and float16 on a GPU, which decodes
    greedily."""

    def __init__(
        self,
        folder: Path,
        threads: int,
        *,
        language: str = "en",
        device: Device = "cpu",
        model: Path | None = None,
    ) -> None:
        """Load `folder` onto `device`, with the file `model` in place of its `model.bin` where one
        is given. `language` is the code of the language that is spoken, such as "de".

        Raises AttuneError where the folder is missing, incomplete or damaged, or the model does not
        know the language.
        """
        for name in FILES:  # without a tokenizer faster-whisper would go and ask a hub for one
            if not (folder / name).is_file():
                raise AttuneError(f"{folder / name} is missing; {_REMEDY}")
        # CTranslate2 takes a second to load: only processes that transcribe pay it.
        from faster_whisper import WhisperModel

        try:
            # By a path: what CTranslate2 is given as bytes, it keeps beside what it made of them.
            with _folder_with(folder, model) as opened:
                self._model = WhisperModel(
                    str(opened),
                    device="cuda" if device == "gpu" else "cpu",
                    compute_type="float16" if device == "gpu" else "int8",
                    cpu_threads=threads,
                    num_workers=1,
                    local_files_only=True,
                )
        except Exception as error:
            # CTranslate2 and tokenizers raise RuntimeError, ValueError or a bare Exception.
            reason = " ".join(str(error).split())[:200]
            raise AttuneError(
                f"the speech model in {folder} is damaged ({reason}); remove the folder and"
                f" {_REMEDY}"
            ) from error
        known = self._model.supported_languages
        if language not in known:
            raise AttuneError(
                f"the speech model in {folder} does not know the language {language}; set"
                " engines.language to another, or engines.whisper to a multilingual model"
            )
        self._language = language

    def transcribe(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe [N] samples. Audio without speech gives an empty text. What leaves doubt is
        read again where there are `phrases`. `step` is called between parts of the work."""
        step()
        transcript = self._transcript(samples)
        step()
        if phrases and leaves_doubt(transcript):
            seconds = len(samples) / SAMPLE_RATE_HZ
            return read_again(self, self._encode(samples), seconds, transcript, phrases)
        return transcript

    def _encode(self, samples: Float32) -> Float32:
        """The frames [1500, D] of a padded window of 30 s."""
        from ctranslate2 import StorageView  # as above: only who transcribes pays for it
        from faster_whisper.audio import pad_or_trim

        mel = pad_or_trim(self._model.feature_extractor(samples))[None]
        frames = self._model.model.encode(
            StorageView.from_array(np.ascontiguousarray(mel, np.float32)), to_cpu=True
        )
        found: Float32 = np.array(frames)[0].astype(np.float32)
        return found

    def _transcript(self, samples: Float32) -> Transcript:
        seconds = len(samples) / SAMPLE_RATE_HZ
        if seconds < _SHORTEST_SECONDS or np.abs(samples).max() < _SILENT_PEAK:
            return NOTHING
        segments, _ = self._model.transcribe(
            samples,
            language=self._language,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=False,
            no_speech_threshold=_NO_SPEECH_PROBABILITY,
            # else a sure decode overrules the model's doubt that anybody spoke
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=_length_for(_most_tokens(seconds)) - _PROMPT_TOKENS,
        )
        heard = [segment for segment in segments if segment.text.strip()]
        if not heard:
            return NOTHING
        # faster-whisper's mean counts the end of a segment as a token, too.
        counts = [len(segment.tokens) + 1 for segment in heard]
        log_likelihood = sum(
            segment.avg_logprob * count for segment, count in zip(heard, counts, strict=True)
        )
        text = " ".join(self._text(segment.tokens, segment.text, seconds) for segment in heard)
        logger.debug("transcribed %.1f s as %r", seconds, text)
        return Transcript(text, log_likelihood, sum(counts))

    def decode_window(self, window: Float32, seconds: float) -> Transcript:
        """Decode encoder frames [T, D] that hold `seconds` of speech and end as a window of 30 s
        ends (`whisper/first_pass.py`)."""
        found = self._generate(window, seconds, beam=1)
        tokens = found.sequences_ids[0]
        return Transcript(
            self._text(tokens, self._model.hf_tokenizer.decode(tokens), seconds),
            found.scores[0],
            len(tokens) + 1,
        )

    def n_best(self, window: Float32, seconds: float, count: int) -> list[Reading]:
        """The `count` likeliest sentences of a window as `decode_window` takes it, or fewer."""
        found = self._generate(window, seconds, beam=count)
        decode = self._model.hf_tokenizer.decode
        readings = [
            Reading(self._text(tokens, decode(tokens), seconds), score, len(tokens) + 1)
            for tokens, score in zip(found.sequences_ids, found.scores, strict=True)
        ]
        return [one for one in readings if one.text]

    def log_likelihoods(self, window: Float32, texts: Sequence[str]) -> list[float]:
        """The natural log likelihood of each of `texts`, without its end, for a window as
        `decode_window` takes it."""
        from ctranslate2 import StorageView  # as above: only who transcribes pays for it

        tokens = [self._tokens(text)[:_MAX_TOKENS] for text in texts]
        likelihoods = []
        for start in range(0, len(tokens), _ALIGNED_AT_ONCE):
            some = tokens[start : start + _ALIGNED_AT_ONCE]
            frames = np.repeat(np.asarray(window[None], np.float32), len(some), axis=0)
            found = self._model.model.align(
                StorageView.from_array(np.ascontiguousarray(frames)),
                self._prompt,
                some,
                [len(window)] * len(some),
            )
            likelihoods += [
                sum(math.log(max(one, _LEAST_PROBABILITY)) for one in aligned.text_token_probs)
                for aligned in found
            ]
        return likelihoods

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text`."""
        return len(self._tokens(text))

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self._model.hf_tokenizer.encode(
            f" {text.strip()}", add_special_tokens=False
        ).ids
        return found

    @property
    def _prompt(self) -> list[int]:
        """The tokens before a text."""
        names = ["<|startoftranscript|>"]
        if self._model.model.is_multilingual:
            names += [f"<|{self._language}|>", "<|transcribe|>"]
        tokenizer = self._model.hf_tokenizer
        return [tokenizer.token_to_id(name) for name in [*names, "<|notimestamps|>"]]

    def _generate(self, window: Float32, seconds: float, beam: int) -> "WhisperGenerationResult":
        from ctranslate2 import StorageView  # as above: only who transcribes pays for it

        [found] = self._model.model.generate(
            StorageView.from_array(np.ascontiguousarray(window[None], np.float32)),
            [self._prompt],
            beam_size=beam,
            num_hypotheses=beam,
            # The sum of the tokens, not their mean, is the likelihood of a sentence.
            length_penalty=0.0,
            max_length=_length_for(_most_tokens(seconds)),
            suppress_blank=True,
            return_scores=True,
        )
        return found

    def _text(self, tokens: Sequence[int], text: str, seconds: float) -> str:
        """The `text` of `tokens`, with a loop at its end said once. A decoder that misses the end
        of the speech repeats its last words until it has no tokens left; a text that ends before
        that is kept, since a speaker may repeat words, too."""
        if len(tokens) < _most_tokens(seconds):
            return text.strip()
        return str(self._model.hf_tokenizer.decode(without_cycle(tokens))).strip()


@contextmanager
def _folder_with(folder: Path, model: Path | None) -> Iterator[Path]:
    """`folder`, or one like it for as long as the context lasts whose `model.bin` is `model`."""
    if model is None:
        yield folder
        return
    with TemporaryDirectory(prefix="attune-whisper-") as made:
        for path in folder.iterdir():
            linked = model if path.name == "model.bin" else path.absolute()
            Path(made, path.name).symlink_to(linked)
        yield Path(made)


def _most_tokens(seconds: float) -> int:
    return min(_MAX_TOKENS, _MAX_TOKENS_ALWAYS + int(_MAX_TOKENS_PER_SECOND * seconds))


def _length_for(tokens: int) -> int:
    """The `max_length` with which CTranslate2 decodes up to `tokens` tokens: it keeps half of it
    for a prompt."""
    return min(_POSITIONS, 2 * tokens)
