"""Settings: precedence, origins, and one clear line for every mistake."""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config.hours import hours_of
from daemon.config.settings import Settings, described_keys, value_of
from daemon.config.sources import PLACES, load_settings
from engines.errors import AttuneError
from tests.support.places import PROJECT


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.toml",
        "[conversation]\nmax_reply_tokens = 10\nroute = 'cascade'\n[llm]\ncontext_tokens = 512\n",
    )
    environment = {
        "ATTUNE__CONVERSATION__MAX_REPLY_TOKENS": "20",
        "ATTUNE__CONVERSATION__ROUTE": "aligned",
        "PATH": "/bin",
    }
    loaded = load_settings(file, {"conversation.route": "auto"}, environment)
    assert loaded.settings.conversation.max_reply_tokens == 20
    assert loaded.settings.conversation.route == "auto"
    assert loaded.settings.llm.context_tokens == 512
    assert (
        loaded.origins["conversation.max_reply_tokens"] == "ATTUNE__CONVERSATION__MAX_REPLY_TOKENS"
    )
    assert loaded.origins["conversation.route"] == "flag"
    assert loaded.origins["llm.context_tokens"] == str(file)
    assert loaded.origins["audio.speed"] == "default"


def test_a_byte_order_mark_is_no_fault_and_another_encoding_is_one_line(tmp_path: Path) -> None:
    text = "[llm]\ncontext_tokens = 512\n"
    (tmp_path / "a.toml").write_text(text, encoding="utf-8-sig")
    assert load_settings(tmp_path / "a.toml", {}, {}).settings.llm.context_tokens == 512
    (tmp_path / "a.toml").write_text(text, encoding="utf-16")
    with pytest.raises(AttuneError, match=r"a\.toml is UTF-16 text; save it as UTF-8"):
        load_settings(tmp_path / "a.toml", {}, {})


def test_drop_in_files_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "attune"
    (folder / "attune.toml.d").mkdir(parents=True)
    write(folder / "attune.toml", "[engines]\nthreads = 3\n[llm]\ncontext_tokens = 300\n")
    write(folder / "attune.toml.d" / "20.toml", "[engines]\nthreads = 5\n")
    last = write(folder / "attune.toml.d" / "30.toml", "[engines]\nthreads = 6\n")
    loaded = load_settings(environment={})
    assert loaded.settings.engines.threads == 6
    assert loaded.origins["engines.threads"] == str(last)
    assert loaded.settings.llm.context_tokens == 300


def test_a_user_means_their_own_attune_else_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meant() -> tuple[Path, Path]:
        settings = Settings.model_validate({"control": {}})
        return settings.control.socket, settings.state_dir

    machine, own = tmp_path / "machine.sock", tmp_path / "runtime" / "attune" / "attune.sock"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("daemon.config.places._MACHINE_SOCKET", machine)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert meant() == (own, tmp_path / "state" / "attune"), "nobody serves here"
    machine.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + 300 * "x")  # nobody can even look
    assert meant() == (machine, Path("/var/lib/attune"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert meant() == (machine, Path("/var/lib/attune"))
    own.parent.mkdir(parents=True)
    own.touch()
    assert meant() == (own, tmp_path / "state" / "attune")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[conversation]\nroot = 'auto'\n",
            ["conversation.root", "bad.toml", "conversation.route"],
        ),
        ("statedir = '/x'\n", ["statedir", "bad.toml", "state_dir"]),
        ("conversation = 3\n", ["conversation", "bad.toml", "section"]),
        ("[conversation]\nroute = 'sideways'\n", ["conversation.route", "sideways", "bad.toml"]),
        ("[engines]\nthreads = 0\n", ["engines.threads", "0", "greater than or equal to 1"]),
        ("[conversation\n", ["bad.toml", "not TOML"]),
        ("[state_dir]\nx = 1\n", ["state_dir.x", "bad.toml"]),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    with pytest.raises(AttuneError) as caught:
        load_settings(write(tmp_path / "bad.toml", text), environment={})
    line = str(caught.value)
    assert "\n" not in line
    for part in expected:
        assert part in line


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(
        AttuneError,
        match=r"conversation\.rout .*ATTUNE__CONVERSATION__ROUT.*did you mean conversation\.route",
    ):
        load_settings(Path("/dev/null"), environment={"ATTUNE__CONVERSATION__ROUT": "auto"})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AttuneError, match=r"none\.toml cannot be read"):
        load_settings(tmp_path / "none.toml", environment={})


def test_settings_are_frozen_and_every_key_says_what_it_means() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.audio = settings.audio  # type: ignore[misc]
    for key, description in described_keys().items():
        assert description.endswith("."), key
        assert value_of(settings, key) is not None


def test_the_documentation_lists_every_key_with_its_default() -> None:
    text = (PROJECT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", text, re.MULTILINE))
    assert set(rows) == set(described_keys())
    settings = Settings()
    for key in described_keys():
        value = value_of(settings, key)
        if not isinstance(value, Path):  # paths depend on who runs it; the page says how
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            assert rows[key] == f"`{shown}`" if shown else rows[key] == "(empty)", key


@pytest.mark.parametrize("hours", ["22:00", "25:00-06:00", "22:00-22:00", "night", "22:00-06:60"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match="give two different times of the day"):
        Settings.model_validate({"idle": {"hours": hours}})


def test_a_generation_at_least_is_kept() -> None:
    """Or the highest could go, and its number be given to another."""
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Settings.model_validate({"storage": {"generations": 0}})


CONTRADICTIONS = {
    "segmenter.start_threshold": "[segmenter]\nstart_threshold = 0.3\n",
    "segmenter.max_seconds": "[segmenter]\nmax_seconds = 2\nend_silence_seconds = 3\n",
    "llm.context_tokens": "[llm]\ncontext_tokens = 256\n[conversation]\nmax_reply_tokens = 4096\n",
    "conversation.system_prompt": (
        f"[llm]\ncontext_tokens = 512\n[conversation]\nsystem_prompt = '{'word ' * 780}'\n"
    ),
    "adapt.shadow_turns": "[adapt]\nshadow_turns = 5\n[audio]\nkeep = false\n",
    "storage.days_of_turns": "[adapt]\nshadow_turns = 5\n[storage]\ndays_of_turns = 1\n",
}


@pytest.mark.parametrize("key", CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_one_line_that_names_them_and_the_file(
    tmp_path: Path, key: str
) -> None:
    file = write(tmp_path / "a.toml", CONTRADICTIONS[key])
    with pytest.raises(AttuneError) as caught:
        load_settings(file, environment={})
    line = str(caught.value)
    assert "\n" not in line
    for part in (key.rpartition(".")[2], str(file)):
        assert part in line


@pytest.mark.parametrize("key", [key for key in described_keys() if key not in PLACES])
def test_an_empty_variable_counts_as_not_set(tmp_path: Path, key: str) -> None:
    name = f"ATTUNE__{key.upper().replace('.', '__')}"
    loaded = load_settings(Path("/dev/null"), environment={name: ""})
    assert loaded.origins[key] == "default"
    assert loaded.settings == load_settings(Path("/dev/null"), environment={}).settings


@pytest.mark.parametrize("key", sorted(PLACES))
def test_an_empty_path_never_means_the_working_folder(tmp_path: Path, key: str) -> None:
    name = f"ATTUNE__{key.upper().replace('.', '__')}"
    default = load_settings(Path("/dev/null"), environment={})
    loaded = load_settings(Path("/dev/null"), environment={name: ""})
    assert value_of(loaded.settings, key) == value_of(default.settings, key)
    if key in ("audio.source", "adapt.hand_over", "storage.key_file"):  # empty has a meaning there
        return
    section, _, last = key.rpartition(".")
    file = write(
        tmp_path / "a.toml", f"[{section}]\n{last} = ''\n" if section else f"{last} = ''\n"
    )
    for sources in (
        {"config": file},
        {"config": Path("/dev/null"), "flags": {key: ""}},
        {"environment": {name: "  "}},
    ):
        with pytest.raises(AttuneError, match=f"{key} = .*a path is needed"):
            load_settings(**{"environment": {}, **sources})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", sorted(PLACES))
def test_a_path_is_absolute_whoever_reads_it(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    at_home = load_settings(Path("/dev/null"), {key: "~/x"}, {})
    assert str(value_of(at_home.settings, key)) == str(tmp_path / "home" / "x")
    here = load_settings(Path("/dev/null"), {key: "x"}, {})
    assert str(value_of(here.settings, key)) == str(tmp_path / "x")
    with pytest.raises(AttuneError, match="a user that is not known"):
        load_settings(Path("/dev/null"), {key: "~nobody-of-that-name/x"}, {})
    section, _, last = key.rpartition(".")
    file = write(
        tmp_path / "a.toml", f"[{section}]\n{last} = 'x'\n" if section else f"{last} = 'x'\n"
    )
    with pytest.raises(AttuneError, match=f"{key} = 'x' .*a path in a file begins with / or ~"):
        load_settings(file, environment={})


def test_a_socket_s_path_that_is_too_long_is_found_when_it_is_read() -> None:
    with pytest.raises(AttuneError, match="at most 107 bytes, not 121"):
        load_settings(Path("/dev/null"), {"control.socket": "/" + 120 * "x"}, {})


@pytest.mark.parametrize("value", ["", "relative"])
@pytest.mark.parametrize(
    "name", ["HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"]
)
def test_an_empty_or_relative_home_counts_as_not_set(tmp_path: Path, name: str, value: str) -> None:
    code = (
        "import os; os.geteuid = lambda: 1000\n"
        "from daemon.config.sources import load_settings\n"
        "settings = load_settings(environment={}).settings\n"
        "print(settings.state_dir, settings.cache_dir, settings.control.socket)\n"
    )
    given = {
        key: text for key, text in os.environ.items() if not key.startswith(("XDG_", "ATTUNE__"))
    } | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=given | {name: value},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    home = tmp_path if name != "HOME" else Path(pwd.getpwuid(os.getuid()).pw_dir)
    state_dir, cache_dir, _ = map(Path, done.stdout.split())
    assert (state_dir, cache_dir) == (home / ".local/state/attune", home / ".cache/attune")


def test_hours_may_run_across_midnight() -> None:
    assert hours_of("22:00-06:30") == (1320, 390)
    assert hours_of("") is None
