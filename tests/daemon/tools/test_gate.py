"""A language model is given tools only if it chooses the right one in 95 of 100 cases, and whoever
speaks meanwhile comes first."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.attention import Attention
from daemon.serving.lease import ModelLender
from daemon.tools.gate import cases, is_right
from daemon.tools.gate_results import GateResults
from daemon.tools.tool import Call
from daemon.tools.toolbox import Toolbox
from engines.llm.client_chat import LlamaClientChat
from tests.daemon.conversation.test_conversation import loaded
from tests.support.tool_world import CallingLanguageModel

TOOLS, CASES = cases()


def expected(words: str) -> list[tuple[str, dict[str, Any]]]:
    [case] = [case for case in CASES if words.endswith(f"\n{case.words}")]
    return [(case.tool, {name: values[0] for name, values in case.arguments.items()})] if (
        case.tool is not None
    ) else []  # fmt: skip


class Trial:
    """A language model that is tried out: it is wrong in `wrong` cases."""

    def __init__(self, folder: Path, wrong: int = 0, wanted: Any = "auto") -> None:
        self.model_file = folder / "model.gguf"
        self.model_file.write_bytes(b"a model")
        self.language_model = CallingLanguageModel()
        self.language_model.choose = self._choose
        self.wrong = wrong
        self.attention = Attention()
        self.interrupt_after: int | None = None
        self.folder, self.wanted = folder, wanted
        self.toolbox = self.anew()

    def anew(self) -> Toolbox:
        """A daemon that starts."""
        lender = ModelLender({"cascade": loaded("cascade")}, "cascade", self.language_model)
        return Toolbox(
            None,
            GateResults(self.folder),
            self.wanted,
            lender,
            lambda: self.model_file,
            self.attention,
            lambda: 1e9,
        )

    def _choose(self, read: str) -> list[tuple[str, dict[str, Any]]]:
        done = len(self.language_model.reads)
        if done == self.interrupt_after:
            self.attention.begin()
        calls = expected(read)
        if done <= self.wrong:
            return [("play_music", {"what": "noise"})]
        return calls


def test_the_cases_are_a_hundred_and_name_their_tools() -> None:
    assert len(CASES) == len({case.words for case in CASES}) == 100
    known = {tool.name: tool for tool in TOOLS}
    counts = Counter(case.tool for case in CASES)
    assert counts[None] == 20
    assert set(counts) - {None} == set(known)
    for case in CASES:
        if case.tool is not None:
            assert case.arguments.keys() <= known[case.tool].schema["properties"].keys()


def test_right_is_the_tool_with_what_was_said() -> None:
    weather = next(case for case in CASES if "Oslo" in case.words)
    tool = next(tool for tool in TOOLS if tool.name == "get_weather")
    right = Call(tool, {"place": "Oslo,  Norway!", "day": "tomorrow"})
    assert is_right([right], weather)
    assert not is_right([right, right], weather)
    assert not is_right([], weather)
    assert not is_right([Call(tool, {"place": "Bergen", "day": "tomorrow"})], weather)
    assert not is_right([Call(tool, {"place": "Oslo"})], weather)
    chat = next(case for case in CASES if case.tool is None)
    assert is_right([], chat)
    assert not is_right([right], chat)


@pytest.mark.parametrize(("wrong", "passes"), [(0, True), (5, True), (6, False), (100, False)])
def test_95_of_100_have_to_be_right(tmp_path: Path, wrong: int, passes: bool) -> None:
    trial = Trial(tmp_path, wrong)
    assert not trial.toolbox.may_call  # it was not tried yet
    trial.toolbox.try_out()
    assert trial.toolbox.result is not None
    assert (trial.toolbox.result.right, trial.toolbox.result.of) == (100 - wrong, 100)
    assert trial.toolbox.may_call is passes


def test_it_is_tried_once_on_a_device(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.toolbox.try_out()
    again = trial.anew()
    assert again.may_call
    again.try_out()
    assert len(trial.language_model.reads) == 100
    trial.model_file.write_bytes(b"another one")
    os.utime(trial.model_file, (1, 1))
    assert not trial.anew().may_call


def test_one_without_a_place_for_tools_is_not_tried(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.language_model.knows_tools = False
    trial.toolbox.try_out()
    assert trial.language_model.reads == []
    assert not trial.toolbox.may_call
    assert trial.toolbox.result is not None
    assert "not trained for tools" in trial.toolbox.result.for_people


def test_who_speaks_comes_first_and_the_trial_goes_on_later(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.interrupt_after = 40
    trial.toolbox.try_out()
    assert trial.toolbox.result is None
    assert len(trial.language_model.reads) == 40
    trial.attention.end()
    trial.interrupt_after = None
    trial.toolbox.try_out()
    assert trial.toolbox.may_call
    assert len(trial.language_model.reads) == 100


def test_a_trial_ends_when_the_daemon_does(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    choose = trial.language_model.choose
    assert choose is not None

    def stops(read: str) -> list[tuple[str, dict[str, Any]]]:
        if len(trial.language_model.reads) == 10:
            trial.toolbox.stop()
        return choose(read)

    trial.language_model.choose = stops
    trial.toolbox.try_out()
    assert len(trial.language_model.reads) == 10
    assert trial.toolbox.result is None


@pytest.mark.parametrize("wanted", [True, False])
def test_the_settings_have_the_last_word(tmp_path: Path, wanted: bool) -> None:
    trial = Trial(tmp_path, wanted=wanted)
    trial.toolbox.try_out()
    assert trial.language_model.reads == []
    assert trial.toolbox.may_call is wanted


@pytest.mark.parametrize("damage", ["", "{", '{"cases": "other", "results": []}'])
def test_a_damaged_result_is_measured_anew(tmp_path: Path, damage: str) -> None:
    trial = Trial(tmp_path)
    trial.toolbox.try_out()
    (tmp_path / "tool-gate.json").write_text(damage)
    assert trial.anew().result is None


def test_the_embedded_language_model_is_given_none(real: Any, llm_path: Path) -> None:
    chat = real[0].client_chat
    assert isinstance(chat, LlamaClientChat)
    assert not chat.knows_tools
