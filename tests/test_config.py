"""Settings: precedence, origins, and one clear line for every mistake."""

import re
from pathlib import Path

import pytest

from daemon.config import Settings, described_keys, hours_of, value_of
from daemon.config_sources import load_settings
from engines.errors import AttuneError

ROOT = Path(__file__).parent.parent


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = write(tmp_path / "a.toml", "[conversation]\nmax_reply_tokens = 10\nroute = 'cascade'\n[llm]\ncontext_tokens = 512\n")
    environment = {"ATTUNE__CONVERSATION__MAX_REPLY_TOKENS": "20", "ATTUNE__CONVERSATION__ROUTE": "aligned", "PATH": "/bin"}
    loaded = load_settings(file, {"conversation.route": "auto"}, environment)
    assert loaded.settings.conversation.max_reply_tokens == 20
    assert loaded.settings.conversation.route == "auto"
    assert loaded.settings.llm.context_tokens == 512
    assert loaded.origins["conversation.max_reply_tokens"] == "ATTUNE__CONVERSATION__MAX_REPLY_TOKENS"
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


def test_a_user_means_their_own_attune_else_the_machine_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meant() -> tuple[Path, Path]:
        settings = Settings.model_validate({"control": {}})
        return settings.control.socket, settings.state_dir

    machine, own = tmp_path / "machine.sock", tmp_path / "runtime" / "attune" / "attune.sock"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("daemon.config._MACHINE_SOCKET", machine)
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
        ("[conversation]\nroot = 'auto'\n", ["conversation.root", "bad.toml", "conversation.route"]),
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
    with pytest.raises(AttuneError, match=r"conversation\.rout .*ATTUNE__CONVERSATION__ROUT.*did you mean conversation\.route"):
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
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
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


def test_hours_may_run_across_midnight() -> None:
    assert hours_of("22:00-06:30") == (1320, 390)
    assert hours_of("") is None
