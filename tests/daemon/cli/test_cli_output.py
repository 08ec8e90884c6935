"""What is printed: whole in 80 columns, in any encoding, unable to steer a terminal, and honest
where it cannot be written."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.text import Text

from daemon.app import App
from daemon.cli.bench.tables import (
    costs_sheet,
    designs_sheet,
    heard_sheet,
    memory_sheet,
    own_labels_sheet,
    reached_sheet,
    recipes_sheet,
    rounds_sheet,
)
from daemon.cli.calibrate import precisions_sheet, stages_sheet
from daemon.cli.common import PlainConsole
from daemon.cli.demo.report import Outcome, Scores, report
from daemon.cli.engines import plans_sheet
from daemon.cli.sheet import Sheet
from daemon.plain_text import escaped, one_line, plain
from engines.audio.recordings import write_flac
from engines.encryption.files import read_file, write_file
from engines.jobs.bench_figures import (
    AdaptFigures,
    CurvePoint,
    DesignRun,
    DistilFigures,
    DistilRun,
    MemoryFigures,
    MemoryRun,
    OwnLabels,
    PersonalRound,
    QualityFigures,
    ServingCost,
    SetScores,
)
from engines.whisper.plan_cache import PlanCard, PlanKey, Quarantine
from engines.whisper.precision import ErrorRates, PrecisionCard
from tests.daemon.cli.test_cli import Attune, attune, daemon, folder
from tests.daemon.cli.test_cli import one_line as one_error
from tests.daemon.training.test_memory_plan import FOOTPRINTS
from tests.support.audio_fixtures import write_wav
from tests.support.fakes import tone
from tests.support.places import PROJECT

__all__ = ["attune", "daemon", "folder"]

NASTY = "a\x1b[2Jb\x9b31mc\rd\u202ee\u2066f\x07g"


def shown(what: RenderableType, columns: int = 80) -> str:
    file = io.StringIO()
    PlainConsole(file=file, width=columns).print(what)
    return file.getvalue()


def assert_whole(
    output: str, headings: Sequence[str], cells: Sequence[str], columns: int = 80
) -> None:
    """Every heading is there word by word and every cell that must stand whole in one piece, within
    so many columns."""
    assert "…" not in output
    for line in output.splitlines():
        assert Text(line).cell_len <= columns, line
    words = output.split()
    for heading in headings:
        for word in heading.split():
            assert word in words, (word, output)
    for cell in cells:
        assert cell in output, (cell, output)


# --- tables


def heard_set(name: str, hearer: str) -> SetScores:
    return SetScores(
        set=name,
        hearer=hearer,
        utterances=1000,
        word_error_rate=10.0,
        content_word_error_rate=1.0,
        rouge_1=0.25,
        rouge_l=0.25,
        same_first_token=1.0,
    )


KEY = PlanKey(
    graph_sha256="",
    precision="float16",
    tensorrt="10.13.3.9",
    compute_capability="8.7",
    l4t="R36.4.7",
    workspace_bytes=1,
)
HEARD = [
    heard_set(name, hearer)
    for name in ("never-enrolled", "own-words")
    for hearer in ("cascade", "generation 0012, 15 min")
]
DESIGNS = [
    DesignRun(
        design=name,
        features_seconds=12345,
        step_seconds=123.45,
        peak_bytes=123 * 2**30,
        parameters=10**9,
        curve=[
            CurvePoint(seconds=at, step=step, loss=1.0, word_error_rate=rate)
            for at, step, rate in ((1.0, 1, 1.0), (123456.0, 99, end))
        ],
    )
    for name, end in (("attune", 0.1), ("cif", 0.2), ("bridgeformer", 0.3), ("end-to-end", 0.4))
]
ADAPTED = AdaptFigures(
    rounds=[
        PersonalRound(
            name="15 min, 999 labels of its own",
            own_labels=OwnLabels(recordings=9999, labelled=999, right=999, allowed=False),
            minutes=3055.1,
            utterances=99999,
            steps=99999,
            processor_seconds=99999,
            wall_seconds=99999,
            round_processor_seconds=99999,
            peak_bytes=2**37,
        )
    ],
    heard=HEARD,
    costs=[ServingCost(hearer="15 min, recogniser", seconds=99.99, size_bytes=2**37)],
    machine="m",
)
SHEETS = {
    "heard": heard_sheet(HEARD),
    "designs": designs_sheet(QualityFigures(designs=DESIGNS, heard=HEARD, machine="m")),
    "reached": reached_sheet(QualityFigures(designs=DESIGNS, heard=HEARD, machine="m")),
    "rounds": rounds_sheet(ADAPTED),
    "own labels": own_labels_sheet(ADAPTED),
    "costs": costs_sheet(ADAPTED),
    "recipes": recipes_sheet(
        DistilFigures(
            lessons=1,
            lessons_seconds=1.0,
            runs=[
                DistilRun(
                    recipe="both, by a long name",
                    steps=99999,
                    processor_seconds=99999,
                    wall_seconds=99999,
                    losses={"reply": 123.4, "word": 12.3},
                )
            ],
            heard=HEARD,
            machine="m",
        )
    ),
    "memory": memory_sheet(
        MemoryFigures(
            runs=[
                MemoryRun(
                    shape="llama-3.2-1b",
                    file_bytes=2**37,
                    positions=4096,
                    before_bytes=2**37,
                    peak_resident_bytes=2**38,
                    peak_allocated_bytes=2**37,
                    seconds_per_step=1234.5,
                )
            ],
            machine="m",
        )
    ),
    "stages": stages_sheet(FOOTPRINTS),
    "precisions": precisions_sheet(
        [
            PrecisionCard(
                precision="int8",
                method="entropy",
                source_sha256="",
                sha256="",
                made_at="",
                machine="m",
                calibrated_utterances=1,
                checked_utterances=1,
                cosine=0.1234,
                cosine_worst=-0.1234,
                size=1.23,
                heard=ErrorRates(token_error=12.345, transcript_error=12.345),
                original=ErrorRates(token_error=1.0, transcript_error=1.0),
            )
        ]
    ),
    "plans": plans_sheet(
        [
            PlanCard(
                key=KEY,
                sha256="",
                built_at=0,
                build_seconds=1,
                peak_bytes=1,
                cosine=0.99999,
                milliseconds=12345.6,
            ),
            Quarantine(
                key=KEY,
                reason="its frames are far from those of ONNX Runtime: " + "x" * 200,
                at=1.0,
                times=1,
            ),
        ]
    ),
}


@pytest.mark.parametrize("columns", [80, 60, 100])
@pytest.mark.parametrize("name", SHEETS)
def test_benchmarks_fit_a_terminal(name: str, columns: int) -> None:
    sheet = SHEETS[name]
    whole = [
        index for index, heading in enumerate(sheet.headings) if heading not in sheet.sentences
    ]
    cells = [str(row[index]) for row in sheet.rows for index in whole]
    assert_whole(shown(sheet, columns), sheet.headings, cells, columns)


@given(
    cells=st.lists(
        st.tuples(
            st.from_regex(r"[0-9]{1,9}\.[0-9] %", fullmatch=True),
            st.text("ab ", max_size=300),
            st.from_regex(r"[a-z-]{1,30}", fullmatch=True),
        ),
        max_size=4,
    ),
    columns=st.integers(40, 120),
)
def test_no_heading_and_no_figure_is_ever_cut(
    cells: list[tuple[str, str, str]], columns: int
) -> None:
    sheet = Sheet(("word error rate", "what was said", "name"), cells, {"what was said"})
    figures = [cell for row in cells for cell in (row[0], row[2])]
    told = [
        heading
        for heading in sheet.headings
        if heading != "what was said" or any(row[1].strip() for row in cells)
    ]
    assert_whole(shown(sheet, columns), told if cells else [], figures, columns)


def test_a_cell_is_text_and_no_markup() -> None:
    assert "[red]x[/red] [/]" in shown(Sheet(("a",), [("[red]x[/red] [/]",)]))


def test_generations_fit_a_terminal(
    attune: Attune, folder: Path, daemon: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = []
    for index in range(20):
        write_flac(folder / f"{index}.flac", tone(0.5, 200 + 10 * index))
        rows.append(json.dumps({"audio": f"{index}.flac", "text": f"number {index}"}))
    (folder / "good.jsonl").write_text("\n".join(rows), encoding="utf-8")
    attune("enroll", "--from", folder / "good.jsonl")
    attune("adapt", "--now")
    cards = folder / "state" / "generations" / "0001" / "card.json"
    card = json.loads(read_file(cards))
    told = {
        "trained_seconds_of_audio": 183_306.0,
        "recipe": "personal, with lessons of " + "x" * 40,
    }
    write_file(cards, json.dumps(card | told).encode())
    output = attune("generations", "list")[1]
    headings = (
        "number",
        "place",
        "recipe",
        "audio",
        "holdout WER",
        "cascade WER",
        "general WER",
        "earned route",
    )
    assert_whole(output, headings, ["3055.1 min", "10.0 %", "60.0 %", "previous", "current"])
    assert_whole(attune("generations", "show", "1")[1].partition("\n\n")[2], [], [])
    assert_whole(
        attune("adapt", "--plan")[1], ("stage", "predicted", "with room", "minutes"), ["train"]
    )


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize(
    "command", ["models list", "config show", "config show --origin", "doctor"]
)
def test_other_tables_fit_a_terminal(
    attune: Attune, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("ATTUNE__CONVERSATION__SYSTEM_PROMPT", "You are [bold] and " + "long " * 40)
    output = attune(*command.split())[1]
    names = {"models list": ["smollm2-135m-instruct-q4_1"], "doctor": ["memory budget"]}
    assert_whole(output, [], names.get(command, ["conversation.forget_after_seconds"]), columns)


def test_the_demo_fits_a_terminal() -> None:
    hearing = Scores(1.234, 0.1234, 12345.0, 1.0)
    outcome = Outcome(hearing, hearing, hearing, 99999.0, 99999.0, 99999.0, 2**40, True, "because")
    file = io.StringIO()
    report("atypical", outcome, Console(file=file, width=80))
    assert_whole(
        file.getvalue(),
        ("word error rate", "ROUGE-L of replies"),
        ["123.4%", "12345", "Attune before"],
    )


# --- what could steer a terminal


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=30))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    for made in (plain(text), one_line(text)):
        assert not re.search(
            "[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\u2029]", made
        )
        made.encode()
    assert "\n" not in one_line(text)
    as_json = escaped(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(as_json) == {"text": text}
    assert plain(as_json) == as_json


def test_letters_of_all_scripts_are_left_as_they_are() -> None:
    for text in ("Grüße", "你好", "مرحبا", "नमस्ते", "👩\u200d👧", "e\u0301", "tab\tand\nline"):
        assert plain(text) == text


def test_names_and_texts_cannot_steer_the_terminal(
    attune: Attune, daemon: App, folder: Path
) -> None:
    rows = [{"audio": "a.flac", "text": "fine"}, {"audio": f"{NASTY}.wav", "text": "hi"}]
    (folder / "escape.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_flac(folder / "a.flac", tone(1.0, 300))
    outputs = [
        *attune("enroll", "--from", folder / "escape.jsonl")[1:],
        *attune("ask", NASTY)[1:],
        *attune("ask", f"/{NASTY}.wav")[1:],
        *attune("listen", f"{NASTY}.wav")[1:],
        *attune("ask", folder / "a.flac")[1:],
        *attune("correct", NASTY)[1:],
        *attune("status")[1:],
        *attune("status", "--json")[1:],
        *attune("ask", "--json", NASTY)[1:],
        *attune("--set", f"audio.device={NASTY}", "config", "show")[1:],
        *attune("--set", f"llm.context_tokens={NASTY}", "config", "show")[1:],
        *attune("--set", f"{NASTY}=1", "config", "show")[1:],
    ]
    for output in outputs:
        assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", output), (
            ascii(output)
        )
    assert sum("�" in output for output in outputs) >= 6


def test_a_name_of_two_lines_is_one_line(attune: Attune, daemon: App, folder: Path) -> None:
    assert "two lines.wav does not exist" in one_error(attune("listen", "two\nlines.wav"))


# --- what is a text, and what a file


@pytest.mark.parametrize(
    "words",
    [
        "~20 degrees, is that warm?",
        "yes/no",
        "what is a .wav?",
        "/ or *",
        "hello" * 1000,
        "~",
        "a folder",
    ],
)
def test_what_is_no_file_is_a_text(
    attune: Attune, daemon: App, folder: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (folder / "a folder").mkdir()
    monkeypatch.chdir(folder)
    code, out, _ = attune("ask", words)
    assert code == 0
    assert out.startswith(f"0 {words}")


@pytest.mark.parametrize(
    "words", ["Play hello.mp3", "none.wav", "/none", "./none", "~/none", "../x/y"]
)
def test_what_looks_like_a_path_says_how_to_ask_it(attune: Attune, daemon: App, words: str) -> None:
    assert "does not exist; " in (line := one_error(attune("ask", words)))
    assert "attune ask --text" in line
    assert attune("ask", "--text", words)[1].startswith(f"0 {words}")


def test_a_file_that_is_there_is_a_recording(
    attune: Attune, daemon: App, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    write_flac(folder / "Play hello.mp3", tone(1.0, 300))
    assert "a tone of 300" in attune("ask", "Play hello.mp3")[1]
    os.mkfifo(folder / "pipe")
    assert "pipe is not a file but a pipe" in one_error(attune("ask", "pipe"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ask", ""], "nothing to ask"),
        (["ask", " \n"], "nothing to ask"),
        (["ask", "--text", ""], "nothing to ask"),
        (["ask", "x" * 9000], "at most 8000 characters"),
        (["correct", " "], "the correction is empty"),
        (["listen", ""], "is not a file but a folder"),
        (["enroll", "--from", ""], "is not a file but a folder"),
        (["listen", "~nobody-of-that-name/x.wav"], "a user that is not known"),
        (["enroll", "--from", "~nobody-of-that-name/x"], "a user that is not known"),
        (["--set", "cache_dir=~nobody-of-that-name/x", "status"], "a user that is not known"),
    ],
)
def test_nothing_and_too_much_are_one_line(
    attune: Attune, daemon: App, arguments: list[str], line: str
) -> None:
    assert line in one_error(attune(*arguments))


def test_listening_where_nobody_speaks_says_so(attune: Attune, daemon: App, folder: Path) -> None:
    write_wav(folder / "tone.wav", tone(2.0))
    code, out, err = attune("listen", folder / "tone.wav")
    assert (code, err) == (0, "")
    assert out == f"nobody spoke in {folder / 'tone.wav'} (2.0 s)\n"


@pytest.mark.parametrize("given_", ["", "\n\n", "\ufeff\n"])
def test_talking_without_a_word_says_so(
    attune: Attune, daemon: App, monkeypatch: pytest.MonkeyPatch, given_: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given_))
    assert "nothing was asked" in attune("talk")[2]


def test_talking_with_standard_input_closed_is_one_line(
    attune: Attune, daemon: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert "standard input is closed" in one_error(attune("talk"))


def test_a_mark_before_what_is_typed_is_not_said(
    attune: Attune, daemon: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffhello\n"))
    assert "0 hello" in attune("talk")[1]


# --- streams


def run(
    *arguments: str, shell: str = "", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """`attune` in a process of its own, its output where `shell` says."""
    words = " ".join(arguments)
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -m daemon.cli {words} {shell}'],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
        cwd=PROJECT,
    )


def test_an_encoding_without_the_characters_shows_others(
    attune: Attune, daemon: App, folder: Path
) -> None:
    write_flac(folder / "a.flac", tone(1.0, 300))
    attune("ask", folder / "a.flac")
    for arguments in (["status"], ["status", "--json"]):
        done = run(*arguments, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"a tone of 300" in done.stdout
        done.stdout.decode("ascii")


@pytest.mark.parametrize("command", ["config show", "models list --json", "--help"])
def test_output_that_cannot_be_written_is_one_line(folder: Path, command: str) -> None:
    done = run(command, shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode().startswith(
        "attune: standard output cannot be written (No space left on device)"
    )
    assert done.stderr.count(b"\n") == 1


def test_status_and_metrics_that_cannot_be_written_are_one_line(daemon: App, folder: Path) -> None:
    for command in ("status", "status --json", "metrics", "ask hello"):
        done = run(command, shell=">/dev/full")
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
        assert b"standard output cannot be written" in done.stderr


@pytest.mark.parametrize("command", ["config show", "config show --json"])
def test_a_reader_that_leaves_is_no_fault(folder: Path, command: str) -> None:
    done = run(command, shell="| head -c 10")
    assert done.stderr == b""
    assert len(done.stdout) == 10


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">/dev/full 2>/dev/full", "<&- >/dev/null"])
def test_closed_and_full_streams_leave_no_traceback(folder: Path, shell: str) -> None:
    done = run("config show", shell=shell)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode == (1 if "full" in shell else 0)
