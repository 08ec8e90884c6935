"""Transcribes speech with Whisper's own decoder, through faster-whisper on CTranslate2. Knows
samples, no streams.

The decoder needs a window of 30 s, or at least its end (`whisper/first_pass.py`): on frames trimmed
to the utterance it invents text.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..errors import AttuneError
from ..interfaces import Step, unwatched
from ..spans import span
from ..types import FRAME_SECONDS, SAMPLE_RATE_HZ, Device, Float32, TimedWord, Transcript
from .phrases import NO_PHRASES, PhraseBook
from .second_pass import leaves_doubt, read_again
from .window_decoder import TAIL_FRAMES, WindowDecoder, length_for, most_tokens

logger = logging.getLogger(__name__)

NOTHING = Transcript("")

FILES = ("config.json", "model.bin", "tokenizer.json")
_REMEDY = "run `attune models fetch`"
_SHORTEST_SECONDS = 0.1
_SILENT_PEAK = 1e-3
"""The peak below which audio counts as silent (-60 dB of full scale): Whisper invents words in a
recording's own noise when there is nothing else."""
_NO_SPEECH_PROBABILITY = 0.6
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
        self.windows = WindowDecoder(self._model, language)

    def transcribe(
        self, samples: Float32, step: Step = unwatched, phrases: PhraseBook = NO_PHRASES
    ) -> Transcript:
        """Transcribe [N] samples. Audio without speech gives an empty text. What leaves doubt is
        read again where there are `phrases`. `step` is called between parts of the work."""
        step()
        with span("read"):  # its encoder runs within
            transcript = self._transcript(samples)
        step()
        if not (phrases and leaves_doubt(transcript)):
            return transcript
        with span("rescore"):
            seconds = len(samples) / SAMPLE_RATE_HZ
            window = self._encode(samples)
            spoken = window[: round(seconds / FRAME_SECONDS)]
            trimmed = np.concatenate([spoken, window[len(spoken) :][-TAIL_FRAMES:]])
            return read_again(self.windows, trimmed, seconds, transcript, phrases, step=step)

    def timed(self, samples: Float32, text: str) -> list[TimedWord]:
        """The words of `text`, which was said in [N] samples, with their times; none where they
        cannot be told apart."""
        spoken = round(len(samples) / SAMPLE_RATE_HZ / FRAME_SECONDS)
        window = self._encode(samples)
        return self.windows.timed(window, min(spoken, len(window)), text)

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
            max_new_tokens=length_for(most_tokens(seconds)) - _PROMPT_TOKENS,
        )
        heard = [segment for segment in segments if segment.text.strip()]
        if not heard:
            return NOTHING
        # faster-whisper's mean counts the end of a segment as a token, too.
        counts = [len(segment.tokens) + 1 for segment in heard]
        log_likelihood = sum(
            segment.avg_logprob * count for segment, count in zip(heard, counts, strict=True)
        )
        text = " ".join(self.windows.text(segment.tokens, seconds) for segment in heard)
        logger.debug("transcribed %.1f s as %r", seconds, text)
        return Transcript(text, log_likelihood, sum(counts))


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
