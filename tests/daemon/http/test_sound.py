"""Recordings become text, and texts sound, in the formats that clients ask for."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.http.openai.transcript_formats import compression_ratio
from tests.support.audio_fixtures import espeak, tone, write_wav
from tests.support.fake_speech import SECONDS_PER_LETTER
from tests.support.http_house import Start, start_house
from tests.support.running_daemon import folder

__all__ = ["folder", "start_house"]

TEXT = "One sentence. And a second one."
SPEECH, HEAR = "/v1/audio/speech", "/v1/audio/transcriptions"


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    pause = np.zeros(24000, np.float32)
    write_wav(tmp_path / "a.wav", np.concatenate([espeak(TEXT), pause, espeak("A third one.")]))
    return (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("mp3", "audio/mpeg", b"ID3"),
        ("opus", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
        ("wav", "audio/wav", b"RIFF"),
    ],
)
def test_a_text_sounds_in_each_format(
    start_house: Start, form: str, kind: str, begins: bytes
) -> None:
    answer = start_house().post(SPEECH, {"input": TEXT, "voice": "alloy", "response_format": form})
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.body.startswith(begins)
    with av.open(io.BytesIO(answer.body), "r") as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(audio=0))
        seconds = samples / stream.codec_context.sample_rate
    spoken = SECONDS_PER_LETTER * len(TEXT)
    assert spoken - 0.3 < seconds < spoken + 1.0  # with the pauses after the sentences


def test_pcm_is_24_khz(start_house: Start) -> None:
    answer = start_house().post(SPEECH, {"input": TEXT, "response_format": "pcm"})
    samples = np.frombuffer(answer.body, "<i2").astype(np.float32)
    assert abs(len(samples) / 24000 - SECONDS_PER_LETTER * len(TEXT)) < 1.0
    spectrum = np.abs(np.fft.rfft(samples[:24000]))
    assert abs(int(spectrum.argmax()) - 200) <= 2


def test_speech_comes_as_events(start_house: Start) -> None:
    *deltas, done = start_house().post(SPEECH, {"input": TEXT, "stream_format": "sse"}).events
    assert {one["type"] for one in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"


@pytest.mark.parametrize(
    "what",
    [{}, {"input": ""}, {"input": "x" * 9000}, {"input": "unsayable"},
     {"input": "a", "response_format": "midi"}, {"input": "a", "speed": 9}],
)  # fmt: skip
def test_a_text_that_cannot_be_said_is_refused(start_house: Start, what: object) -> None:
    house = start_house()
    assert house.post(SPEECH, what).status == 400
    assert house.post(SPEECH, {"input": "next"}).status == 200


def test_a_recording_becomes_text(start_house: Start, recording: bytes) -> None:
    answer = start_house().upload(HEAR, recording, model="whisper-1").json
    assert answer["text"].count("a tone of") == 2
    assert 3 < answer["usage"]["seconds"] < 10


def test_subtitles_have_the_times(start_house: Start, recording: bytes) -> None:
    house = start_house()
    told = house.upload(HEAR, recording, response_format="verbose_json").json
    first, second = told["segments"]
    assert first["end"] < second["start"] < second["end"] <= told["duration"] + 0.2
    srt = house.upload(HEAR, recording, response_format="srt").body.decode()
    assert [line for line in srt.split("\n") if line.isdecimal()] == ["1", "2"]
    assert srt.count(" --> ") == 2
    assert "," in srt.split(" --> ")[0]
    vtt = house.upload(HEAR, recording, response_format="vtt")
    assert vtt.body.startswith(b"WEBVTT\n\n00:00:0")
    assert vtt.headers["content-type"].startswith("text/vtt")
    text = house.upload(HEAR, recording, response_format="text").body.decode()
    assert text == told["text"] + "\n"


def test_words_have_times_where_they_are_asked_for(start_house: Start, recording: bytes) -> None:
    house = start_house()
    name = "timestamp_granularities[]"
    told = house.upload(HEAR, recording, response_format="verbose_json", **{name: "word"}).json
    assert " ".join(word["word"] for word in told["words"]) == told["text"]
    first, second = told["segments"]
    places = [one for one in told["words"] if one["start"] < first["end"]]
    assert len(places) == len(first["text"].split())
    for segment, words in ((first, places), (second, told["words"][len(places) :])):
        for word in words:
            assert segment["start"] <= word["start"] <= word["end"] <= segment["end"]
    plain = house.upload(HEAR, recording, response_format="verbose_json").json
    assert "words" not in plain


def test_a_text_that_repeats_itself_is_told_by_its_compression() -> None:
    """Of Whisper's own programs, 2.4 is where a text counts as repeating itself."""
    assert compression_ratio("The kitchen light is on now.") < 1.2
    assert compression_ratio("thank you " * 30) > 2.4


def test_a_model_may_be_named_to_compare(start_house: Start, recording: bytes) -> None:
    house = start_house()
    told = house.upload(HEAR, recording).json
    assert house.upload(HEAR, recording, model="attune-base").json == told
    refused = house.upload(HEAR, recording, model="attune-previous")
    assert (refused.status, refused.json["error"]["code"]) == (404, "model_not_found")


def test_a_transcript_is_streamed(start_house: Start, recording: bytes) -> None:
    *deltas, done = start_house().upload(HEAR, recording, stream="true").events
    assert [one["type"] for one in deltas] == ["transcript.text.delta"] * 2
    assert "".join(one["delta"] for one in deltas) == done["text"]


def test_keywords_and_the_names_of_a_prompt_are_expected(
    start_house: Start, recording: bytes
) -> None:
    house = start_house()
    for fields in ({"keywords": "Tonga"}, {"prompt": "Glossary of long words, Tonga"}):
        assert "Tonga" in house.upload(HEAR, recording, **fields).json["text"]


def test_nothing_of_a_recording_is_kept(start_house: Start, recording: bytes) -> None:
    house = start_house()
    house.upload(HEAR, recording)
    assert not list(house.settings.state_dir.rglob("*.flac"))


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "the recording"), (b"nonsense", "not audio"), (b"RIFF" + bytes(60), "the recording")],
)
def test_a_damaged_recording_is_refused(start_house: Start, data: bytes, told: str) -> None:
    answer = start_house().upload(HEAR, data)
    assert answer.status == 400
    assert told in answer.error


def test_a_recording_without_speech_has_no_text(start_house: Start, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0))
    answer = start_house().upload(HEAR, (tmp_path / "a.wav").read_bytes())
    assert (answer.status, answer.json["text"]) == (200, "")


def test_another_language_is_refused(start_house: Start, recording: bytes) -> None:
    answer = start_house().upload(HEAR, recording, language="de")
    assert answer.status == 400
    assert answer.json["error"]["param"] == "language"


def test_translations_are_refused_by_name(start_house: Start, recording: bytes) -> None:
    answer = start_house().upload("/v1/audio/translations", recording)
    assert answer.status == 400
    assert "does not translate" in answer.error


def test_models_and_voices_are_listed(start_house: Start) -> None:
    house = start_house()
    names = [one["id"] for one in house.get("/v1/models").json["data"]]
    assert names == ["attune", "attune-cascade", "attune-base"]
    assert house.get("/v1/models/attune").json["object"] == "model"
    assert house.get("/v1/models/gpt").json["error"]["code"] == "model_not_found"
    assert [one["id"] for one in house.get("/v1/audio/models").json["data"]] == names
    path = "/v1/models/attune-previous"  # there is none yet
    assert house.get(path).json["error"]["code"] == "model_not_found"
    assert "hibari" in {one["id"] for one in house.get("/v1/audio/voices").json["voices"]}


def test_health_and_metrics(start_house: Start) -> None:
    house = start_house()
    assert house.get("/health/live").json == {"status": "alive"}
    assert house.get("/health/ready").json == {"status": "ready"}
    metrics = house.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# HELP attune_" in metrics.body
    house.get("/v1/made/up")
    house.get("/v1/models/gpt")
    counted = house.get("/metrics").body.decode()
    for label in (
        'path="/metrics",status="200"',
        'path="/v1/models/{model}",status="404"',
        'path="unknown",status="404"',
    ):
        assert f"attune_http_request_seconds_count{{{label}}} 1.0" in counted
    assert "made/up" not in counted


def test_unknown_paths_and_methods_are_told_in_the_same_form(start_house: Start) -> None:
    house = start_house()
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", SPEECH, 405)):
        answer = house.ask(method, path)
        assert answer.status == status
        assert answer.json["error"]["message"]


def test_the_document_tells_every_path_and_no_422(start_house: Start) -> None:
    document = start_house().get("/openapi.json").json
    assert HEAR in document["paths"]
    assert '"422"' not in json.dumps(document)


def test_a_long_recording_is_not_written_to_a_disk(
    start_house: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("a file was made for what was said")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    write_wav(tmp_path / "a.wav", np.tile(tone(1.0, 440), 40))
    recording = (tmp_path / "a.wav").read_bytes()
    assert len(recording) > 1_200_000
    assert start_house().upload(HEAR, recording).status == 200
