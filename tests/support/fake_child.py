"""An honest small child: it speaks the progress protocol, keeps a checkpoint and writes a
generation, without learning anything; and what the tests around it share.

`python fake_child.py MODE [SECONDS_PER_STEP] JOB.json`. Modes that are named nowhere below behave
as `done`.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engines.encryption.files import read_file, write_file
from engines.encryption.from_parent import take_keys
from engines.files import write_atomically
from engines.generations.card import Card, JudgedUtterance, Judgement, Score
from engines.generations.folder import write_generation
from engines.jobs.child_process import die_with_parent, settle_as_child
from engines.jobs.handoff import tell_status
from engines.jobs.messages import AdaptJob, EngineFiles, Progress

FAKE = Path(__file__).resolve()
STEPS = 20
DEADLINE_SECONDS = 120.0


def main(mode: str, seconds_per_step: float, job_path: Path) -> int:
    if mode == "hangs":
        settle_as_child()
    else:  # what gives way to all others would not end while they keep the processor busy
        die_with_parent()
    status = 1
    try:
        status = work(mode, seconds_per_step, job_path)
    finally:
        tell_status(status)
    return status


def work(mode: str, seconds_per_step: float, job_path: Path) -> int:
    take_keys()
    job = json.loads(read_file(job_path))
    checkpoint = job_path.parent / "checkpoint"
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    stopping = [False]
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.__setitem__(0, mode != "deaf"))
    say("frames", 1.0, f"from step {first}")
    if mode == "garbage":
        os.write(
            1,
            b"\xff\xfe not json\n"
            + b'{"stage": 3}\n'
            + b"x" * 1_000_000
            + b"\n"
            + b"[" * 100_000
            + b"\n\n",
        )
    if mode == "fails":
        say("failed", 0.0, "the examples are empty")
        return 1
    if mode == "refuses":
        say("refused", 1.0, "refused: no label fits")
        return 0
    if mode == "raises":
        raise RuntimeError("torch is tired")
    for step in range(first, STEPS):
        if stopping[0]:
            return 143
        if mode == "dies" and step == STEPS // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "hangs" and step == STEPS // 2:
            signal.pause()
        while mode == "works" and step == STEPS // 2:
            pass
        if mode == "flood":
            os.write(1, b"".join(line("train", step / STEPS, "x" * 100) for _ in range(500)))
        if mode == "hangs-loudly":
            sys.stderr.write("warning: " * 600_000)
            sys.stderr.flush()
            say("train", 0.5, "loud")
            signal.pause()
        time.sleep(seconds_per_step)
        write_atomically(checkpoint, str(step + 1).encode())
        say("train", (step + 1) / STEPS, f"step {step + 1}")
    if mode != "forgets":
        write(job, job_path.parent, 0.9 if mode == "worse" else 0.1)
    if mode == "dies-late":
        os.kill(os.getpid(), signal.SIGKILL)
    say("done", 1.0)
    return 0


def judged(
    candidate: float, current: float, cascade: float, utterances: int = 10, words: int = 1000
) -> Judgement:
    """All utterances heard alike, with such rates of `words` each."""
    rates = {"candidate": candidate, "current": current, "cascade": cascade}
    errors = {who: round(rate * words) if isfinite(rate) else 0 for who, rate in rates.items()}
    return Judgement(
        **{
            who: Score(utterances=utterances, words=utterances * words, word_error_rate=rate)
            for who, rate in rates.items()
        },
        utterances=tuple(
            JudgedUtterance(id=f"u{index}", words=words, **errors) for index in range(utterances)
        ),
    )


def learnt_from(job: dict[str, object]) -> tuple[str, ...]:
    examples = job["examples"]
    assert isinstance(examples, list)
    return tuple(sorted(example["id"] for example in examples))


def write(job: dict[str, object], folder: Path, error_rate: float) -> None:
    card = Card(
        number=int(str(job["number"])),
        parent=int(str(job["parent"])),
        user=int(str(job["user"])),
        created_at="2026-01-01T00:00:00+00:00",
        recipe="fake",
        learnt_from=learnt_from(job),
        processor_seconds=1.25,
        wall_seconds=1.5,
        peak_bytes=1000,
        holdout=judged(error_rate, 0.5, 0.6),
        general=judged(0.5, 0.5, 0.5),
    )
    files = {name: folder / name for name in ("projector.onnx", "projector.safetensors")}
    for path in files.values():
        write_file(path, path.name.encode() * 100)
    write_generation(Path(str(job["generations"])), card.number, card, files)


def line(stage: str, fraction: float, note: str = "") -> bytes:
    return Progress(stage=stage, fraction=fraction, note=note).model_dump_json().encode() + b"\n"


def say(stage: str, fraction: float, note: str = "") -> None:
    os.write(1, line(stage, fraction, note))


def no_models(folder: Path) -> EngineFiles:
    """Files of models, with nothing in them."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.bin"
    model.write_bytes(b"")
    return EngineFiles(
        encoder=folder / "encoder.onnx",
        encoder_weights=folder,
        language_model=model,
        served_language_model=model,
    )


def make_job(state: Path) -> AdaptJob:
    nothing = no_models(state)
    generations = state / "generations"
    if not generations.exists():
        empty = state / "empty"
        empty.write_bytes(b"")
        base = Card(number=0, parent=None, created_at="", recipe="base")
        write_generation(
            generations, 0, base, {"projector.onnx": empty, "projector.safetensors": empty}
        )
    return AdaptJob(
        folder=state / "jobs/0001",
        generations=generations,
        number=1,
        parent=0,
        engines=nothing,
        features=state,
        examples=[],
        system_prompt="",
        threads=3,
    )


def state_of(pid: int) -> str:
    """One letter, from /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def has_ended(pid: int) -> bool:
    """Whether the process has ended, although nobody may have asked for its exit status yet: the
    first process of a container may never ask."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def eventually(condition: Callable[[], bool]) -> bool:
    """For what the kernel does in its own time and tells nobody."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


if __name__ == "__main__":
    mode, *pace, path = sys.argv[1:]
    sys.exit(main(mode, float(pace[0]) if pace else 0.0, Path(path)))
