"""Transcripts in the formats that clients ask for. Pure."""

import zlib
from collections.abc import Sequence
from typing import Any, Literal

from .reading import Read

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


def srt(stretches: Sequence[Read]) -> str:
    """SubRip subtitles."""
    return "".join(
        f"{number}\n{_span(one, ',')}\n{one.text}\n\n"
        for number, one in enumerate(stretches, start=1)
    )


def vtt(stretches: Sequence[Read]) -> str:
    """WebVTT subtitles."""
    cues = (f"{_span(one, '.')}\n{one.text}\n\n" for one in stretches)
    return "WEBVTT\n\n" + "".join(cues)


def verbose(stretches: Sequence[Read], seconds: float, language: str) -> dict[str, Any]:
    """Everything that is known, in the fields that clients read."""
    return {
        "task": "transcribe",
        "language": language,
        "duration": round(seconds, 3),
        "text": plain(stretches),
        "segments": [
            {
                "id": number,
                "seek": 0,
                "start": round(one.start_seconds, 3),
                "end": round(one.end_seconds, 3),
                "text": one.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": round(one.mean_log_probability, 4),
                "compression_ratio": round(compression_ratio(one.text), 2),
                "no_speech_prob": 0.0,  # voice activity detection has found speech here
                "confidence": one.confidence,
                "sure": one.sure,
            }
            for number, one in enumerate(stretches)
        ],
        **({"words": words} if (words := _words(stretches)) else {}),
        "usage": {"type": "duration", "seconds": round(seconds)},
    }


def _words(stretches: Sequence[Read]) -> list[dict[str, Any]]:
    return [
        {
            "word": word.text,
            "start": round(word.start_seconds, 2),
            "end": round(word.end_seconds, 2),
        }
        for one in stretches
        for word in one.words
    ]


def compression_ratio(text: str) -> float:
    """The length of `text` against its length compressed: high where it repeats itself, as
    Whisper's own programs reckon it."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def plain(stretches: Sequence[Read]) -> str:
    """The text alone."""
    return " ".join(one.text for one in stretches)


def _span(one: Read, mark: str) -> str:
    return f"{_time(one.start_seconds, mark)} --> {_time(one.end_seconds, mark)}"


def _time(seconds: float, mark: str) -> str:
    milliseconds = round(1000 * max(0.0, seconds))
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
