"""Making a corpus: what is line, what comes out, that it goes on where it was killed, and what it
says of bad sources."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.corpus.augment import augment, band_limited, faster, noisy, reverberated
from calibration.corpus.build import NeuralVoices, build, expected_bytes
from calibration.corpus.encoded import encode_shards, missing_shards, read_encoded
from calibration.corpus.replay import build_replay
from calibration.corpus.script import ScriptLine, recorded_script, replay_script, synthetic_script
from calibration.corpus.shards import read_corpus, shards_of, write_shard
from calibration.corpus.synthesis import Voice
from calibration.corpus.texts import (
    coverage_sentences,
    fortune_sentences,
    word_entries,
    wordnet_sentences,
)
from calibration.corpus.training_requests import open_requests
from calibration.corpus.voices import KEPT_FOR_JUDGING, SHARES, random_voice
from calibration.corpus.word_classes import word_classes
from calibration.evaluation.text_scores import word_error_rate
from engines.errors import AttuneError
from engines.jobs.messages import EngineFiles
from engines.llm.vocabulary import Vocabulary
from engines.types import SAMPLE_RATE_HZ, Float32, Transcript
from engines.whisper.encoder_onnx import onnx_opener
from engines.whisper.recogniser import Recogniser, open_recogniser
from tests.support.audio_fixtures import tone

SENTENCES = (
    "Turn on the light in the kitchen.",
    "Where are my keys?",
    "Remind me to feed the cat.",
    "Thank you very much.",
)


MEL_BINS = 80


def silent(done: int, shards: int) -> None:
    """No progress."""


def test_a_corpus_holds_what_was_said_and_is_encoded_with_a_fair_first_pass_of_it(
    tmp_path: Path, encoder_path: Path, whisper_folder: Path
) -> None:
    left_clean = [seed for seed in range(100) if np.random.default_rng(seed).random() < 0.3]
    script = [
        ScriptLine(text, Voice("flite", "slt", 150), seed)
        for seed, text in zip(left_clean, SENTENCES, strict=False)
    ]
    corpus, encoded = tmp_path / "corpus", tmp_path / "encoded"
    assert build(corpus, script, NeuralVoices(), MEL_BINS, 1, silent) == len(script)
    utterances = read_corpus([corpus])
    assert [utterance.row.text for utterance in utterances] == list(SENTENCES)
    for utterance in utterances:
        assert utterance.log_mel.shape == (MEL_BINS, 2 * utterance.row.frames)
        assert utterance.row.frames / 50 == pytest.approx(utterance.row.seconds + 0.5, abs=0.05)
        assert np.isfinite(utterance.log_mel).all()
    stored = sum(path.stat().st_size for path in corpus.glob("*.npy"))
    assert 0.5 < expected_bytes(script, MEL_BINS) / stored < 2

    assert missing_shards(corpus, encoded) == [0]
    whisper = open_recogniser(None, onnx_opener(encoder_path, 2), whisper_folder, 1)
    encode_shards(corpus, encoded, [0], whisper)
    assert missing_shards(corpus, encoded) == []
    heard = read_encoded(corpus, encoded)
    assert [one.row for one in heard] == [utterance.row for utterance in utterances]
    for one in heard:
        assert one.frames.shape == (one.row.frames, 384)
        assert 0.5 < np.asarray(one.frames, np.float32).std() < 5
    assert word_error_rate([(one.row.text, one.first_pass.text) for one in heard])[0] < 0.25


@pytest.mark.slow
def test_a_killed_build_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.corpus.build.SHARD_UTTERANCES", 2)
    script = [
        ScriptLine(text, Voice("espeak-ng", "en-us"), seed) for seed, text in enumerate(SENTENCES)
    ]
    build(tmp_path, script, NeuralVoices(), MEL_BINS, 1, silent)
    whole = [utterance.row for utterance in read_corpus([tmp_path])]
    (tmp_path / "00001.jsonl").unlink()  # killed before the index was written
    (tmp_path / "00001.mel.npy").write_bytes(b"half")
    kept = (tmp_path / "00000.mel.npy").stat().st_mtime_ns
    assert build(tmp_path, script, NeuralVoices(), MEL_BINS, 1, silent) == 2
    assert [utterance.row for utterance in read_corpus([tmp_path])] == whole
    assert (tmp_path / "00000.mel.npy").stat().st_mtime_ns == kept


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "calibration.corpus.build.shutil.disk_usage", lambda _: SimpleNamespace(free=10_000)
    )
    script = [ScriptLine(text, Voice("flite", "slt"), 0) for text in SENTENCES]
    with pytest.raises(AttuneError, match=r"needs .* GB more .* free"):
        build(tmp_path, script, NeuralVoices(), MEL_BINS, 1, silent)
    assert not list(tmp_path.glob("*.npy"))


def shard(folder: Path, frames: int = 10) -> None:
    about = {"text": "a", "voice": "v", "seconds": 1.0}
    write_shard(folder, 0, [(np.ones((2, 2 * frames), np.float32), about)])


@pytest.mark.parametrize("damage", ["index", "log-mel", "cut"])
def test_a_damaged_shard_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    shard(tmp_path)
    if damage == "index":
        (tmp_path / "00000.jsonl").write_text('{"text": "a"}\n')
    elif damage == "log-mel":
        (tmp_path / "00000.mel.npy").write_bytes(b"not an array")
    else:
        np.save(tmp_path / "00000.mel.npy", np.ones((19, 2), np.float16))
    with pytest.raises(AttuneError, match=r"00000\.jsonl is damaged .* delete it"):
        read_corpus([tmp_path])


class Echo:
    """An encoder and a decoder of nothing: frames of ones, and one text."""

    def run(self, mel: Float32) -> Float32:
        return np.ones((mel.shape[1] // 2, 4), np.float32)

    def decode(self, frames: Float32) -> Transcript:
        return Transcript(f"{len(frames)} frames", -1.5, 3)


def encoded_shard(folder: Path) -> tuple[Path, Path]:
    corpus, encoded = folder / "corpus", folder / "encoded"
    corpus.mkdir()
    shard(corpus)
    echo: Any = Echo()
    recogniser = Recogniser(encoder=echo, decoder=echo)
    encode_shards(corpus, encoded, missing_shards(corpus, encoded), recogniser)
    return corpus, encoded


@pytest.mark.parametrize("damage", ["index", "frames", "cut", "another corpus"])
def test_a_damaged_encoded_shard_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    corpus, encoded = encoded_shard(tmp_path)
    expected = Transcript("10 frames", -1.5, 3)
    assert [one.first_pass for one in read_encoded(corpus, encoded)] == [expected]
    if damage == "index":
        (encoded / "00000.jsonl").write_text("{}\n")
    elif damage == "frames":
        (encoded / "00000.npy").write_bytes(b"not an array")
    elif damage == "cut":
        np.save(encoded / "00000.npy", np.ones((7, 4), np.float16))
    else:
        shard(corpus, frames=12)
    with pytest.raises(AttuneError, match=r"00000\.jsonl is damaged .* delete its folder"):
        read_encoded(corpus, encoded)


def test_a_killed_encoding_makes_only_what_is_missing(tmp_path: Path) -> None:
    corpus, encoded = encoded_shard(tmp_path)
    assert missing_shards(corpus, encoded) == []
    (encoded / "00000.jsonl").unlink()  # killed before the transcripts were written
    assert missing_shards(corpus, encoded) == [0]


def test_a_shard_of_an_earlier_version_is_read_or_made_anew(tmp_path: Path) -> None:
    shard(tmp_path)
    row = json.loads((tmp_path / "00000.jsonl").read_text())
    (tmp_path / "00000.jsonl").write_text(json.dumps(row | {"draft": "aye"}) + "\n")
    [utterance] = read_corpus([tmp_path])
    assert (utterance.row.text, utterance.log_mel.shape) == ("a", (2, 20))
    (tmp_path / "00000.mel.npy").unlink()  # the first versions kept frames alone
    assert shards_of(tmp_path) == []


def test_no_corpus_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="no corpus in"):
        read_corpus([tmp_path])


def test_manifests_librispeech_and_common_voice_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(json.dumps({"audio": "a.wav", "text": "One, two."}) + "\n")
    (tmp_path / "libri/1/2").mkdir(parents=True)
    (tmp_path / "libri/1/2/1-2.trans.txt").write_text("1-2-0000 SO I SAID I'M HERE\n1-2-0001 YES\n")
    (tmp_path / "voice/clips").mkdir(parents=True)
    (tmp_path / "voice/validated.tsv").write_text(
        'client_id\tpath\tsentence\nx\tc.mp3\tHe said "no".\n'
    )
    script = recorded_script([tmp_path / "own.jsonl", tmp_path / "libri", tmp_path / "voice"], 0)
    assert [(line.source, line.text) for line in script] == [
        (tmp_path / "a.wav", "One, two."),
        (tmp_path / "libri/1/2/1-2-0000.flac", "So I said I'm here."),
        (tmp_path / "libri/1/2/1-2-0001.flac", "Yes."),
        (tmp_path / "voice/clips/c.mp3", 'He said "no".'),
    ]


def test_marks_before_a_text_and_separators_in_it_are_taken(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "text": "One\u2028two."}, {"audio": "b.wav", "text": "Three."}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "own.jsonl").write_text(lines, encoding="utf-8-sig")
    (tmp_path / "voice/clips").mkdir(parents=True)
    (tmp_path / "voice/validated.tsv").write_text(
        "path\tsentence\nc.mp3\tHello.\n", encoding="utf-8-sig"
    )
    script = recorded_script([tmp_path / "own.jsonl", tmp_path / "voice"], 0)
    assert [line.source for line in script] == [
        tmp_path / "a.wav",
        tmp_path / "b.wav",
        tmp_path / "voice/clips/c.mp3",
    ]
    (tmp_path / "own.jsonl").write_text(lines, encoding="utf-16")
    with pytest.raises(AttuneError, match=r"own\.jsonl is UTF-16 text; save it as UTF-8"):
        recorded_script([tmp_path / "own.jsonl"], 0)
    (tmp_path / "own.jsonl").write_bytes(b"\xe4")
    with pytest.raises(AttuneError, match=r"own\.jsonl is no UTF-8 text"):
        recorded_script([tmp_path / "own.jsonl"], 0)


@pytest.mark.parametrize("content", ["not json", '{"audio": 3}', "[]"])
def test_a_bad_line_of_a_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.jsonl").write_text('{"audio": "a.wav", "text": "x"}\n' + content + "\n")
    with pytest.raises(AttuneError, match=r"own\.jsonl line 2"):
        recorded_script([tmp_path / "own.jsonl"], 0)


def test_a_folder_of_nothing_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match="neither a manifest"):
        recorded_script([tmp_path], 0)


@pytest.mark.parametrize("synthesizer", ["espeak-ng", "flite", "kokoro", "piper"])
def test_a_missing_synthesizer_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthesizer: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script = [ScriptLine(SENTENCES[0], Voice(synthesizer, "any"), 0)]
    with pytest.raises(AttuneError, match="is not installed; run `apt-get install"):
        build(tmp_path, script, NeuralVoices(), MEL_BINS, 1, silent)
    assert not list(tmp_path.iterdir())


def test_recordings_become_a_corpus_and_unreadable_ones_are_left_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0, 220.0), SAMPLE_RATE_HZ)
    (tmp_path / "b.wav").write_bytes(b"no audio")
    rows = [{"audio": name, "text": "Hum."} for name in ("a.wav", "b.wav", "none.wav")]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = recorded_script([tmp_path / "own.jsonl"], 0)
    assert build(tmp_path / "corpus", script, NeuralVoices(), MEL_BINS, 1, silent) == 1
    assert [utterance.row.voice for utterance in read_corpus([tmp_path / "corpus"])] == ["recorded"]


def test_every_word_of_the_vocabulary_is_covered(llm_path: Path) -> None:
    words = word_entries(Vocabulary(llm_path))
    assert len(words) > 15_000
    assert {"kitchen", "people", "London"} <= set(words)
    assert "London" in words
    assert "london" not in words
    covered = (
        " ".join(coverage_sentences(list(words), random.Random(0)))
        .lower()
        .replace(",", "")
        .replace(".", "")
        .split()
    )
    counts = dict.fromkeys((word.lower() for word in words), 0)
    for word in covered:
        counts[word] = counts.get(word, 0) + 1
    assert min(counts[word.lower()] for word in words) >= 1


@pytest.mark.slow
def test_a_script_is_varied_and_the_same_each_time(llm_path: Path) -> None:
    vocabulary = Vocabulary(llm_path)
    script = synthetic_script(8.0, vocabulary, ["The fjord is deep."], 3)
    assert script == synthetic_script(8.0, vocabulary, ["The fjord is deep."], 3)
    texts = [line.text for line in script]
    assert "The fjord is deep." in texts
    assert len(set(texts)) > 0.97 * len(texts)
    assert 6.0 < sum(line.expected_seconds * line.copies for line in script) / 3600 < 9.0


def test_a_script_for_a_recogniser_has_no_sentence_without_meaning(llm_path: Path) -> None:
    vocabulary = Vocabulary(llm_path)
    plain = synthetic_script(2.0, vocabulary, [], 3, covers_vocabulary=False)
    covering = synthetic_script(2.0, vocabulary, [], 3)
    meant = {*wordnet_sentences(), *fortune_sentences()}

    def share(script: Sequence[ScriptLine]) -> float:
        return sum(line.text in meant for line in script) / len(script)

    assert share(plain) == pytest.approx(0.6, abs=0.03)  # the rest are requests
    assert share(covering) == pytest.approx(0.3, abs=0.03)
    assert 1.5 < sum(line.expected_seconds * line.copies for line in plain) / 3600 < 2.5


def test_open_requests_have_everyday_words_that_few_templates_would(llm_path: Path) -> None:
    classes = word_classes(word_entries(Vocabulary(llm_path)))
    assert {"soup", "pasta", "juices"} <= set(classes.words["food"])
    assert {"lamp", "guitar", "salt"} <= set(classes.words["thing"])
    assert "Patricia" in classes.words["name"]
    made = open_requests(2000, classes, random.Random(0))
    words = {word.strip(".,?") for text in made for word in text.split()}
    assert len(words) > 1500
    assert not any("{" in text for text in made)


def test_wordnet_that_is_not_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.corpus.texts.WORDNET", tmp_path)
    with pytest.raises(AttuneError, match="apt-get install wordnet-base"):
        word_classes({"soup": 1})


def test_wordnet_gives_plain_sentences() -> None:
    sentences = wordnet_sentences()
    assert len(sentences) > 20_000
    assert all(sentence[0].isupper() and sentence[-1] in ".?!" for sentence in sentences)


def test_voices_kept_for_judging_never_train() -> None:
    rng = random.Random(0)
    voices = [random_voice(rng, SHARES) for _ in range(5000)]
    named = {name for voice in voices for name in voice.name.split("+")}
    assert not named & KEPT_FOR_JUDGING
    assert "m5" not in named
    assert {voice.synthesizer for voice in voices} == {"espeak-ng", "flite", "kokoro", "piper"}
    assert any(voice.processes for voice in voices)


def test_the_replay_set_needs_only_what_set_up_installs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder_path: Path,
    whisper_folder: Path,
    llm_path: Path,
) -> None:
    assert {
        line.source.synthesizer for line in replay_script(300, 1) if isinstance(line.source, Voice)
    } == {
        "espeak-ng",
        "flite",
    }
    monkeypatch.setenv("PATH", str(tmp_path))
    files = EngineFiles(
        encoder=encoder_path,
        encoder_weights=whisper_folder,
        language_model=llm_path,
        served_language_model=llm_path,
    )
    with pytest.raises(AttuneError, match="espeak-ng is not installed"):
        build_replay(tmp_path, files, 1)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(400, 20_000))
def test_roughened_speech_is_still_audio(seed: int, size: int) -> None:
    samples = tone(size / SAMPLE_RATE_HZ, 300.0)
    found = augment(samples, np.random.default_rng(seed))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0
    assert 0.85 < len(found) / len(samples) < 1.16


def test_each_roughening_does_what_it_says() -> None:
    rng = np.random.default_rng(0)
    speech = tone(1.0, 300.0)
    assert len(faster(speech, 1.25)) == pytest.approx(len(speech) / 1.25, rel=0.01)
    noise = noisy(speech, 10.0, rng) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=3.0)
    click = np.zeros(8000, np.float32)
    click[100] = 1.0
    tail = reverberated(click, 0.3, rng)
    assert tail[100] == pytest.approx(1.0, abs=0.01)
    assert np.abs(tail[200:2000]).max() > 10 * np.abs(tail[5000:]).max()
    both = speech + tone(1.0, 6000.0)
    spectrum = np.abs(np.fft.rfft(band_limited(both, 100.0, 3400.0)))
    assert spectrum[300] > 1000 * spectrum[6000]
