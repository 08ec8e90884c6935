"""Chat templates: splitting, templates of several kinds, and hostile ones."""

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import AttuneError
from engines.llm.chat_template import MAX_TEMPLATE_CHARACTERS, TurnTemplate, split_template
from tests.support.tiny_llama import CHATML

TRIMMING = CHATML.replace("message.content", "message.content | trim")
NO_SYSTEM_ROLE = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not"
    " supported') }}{% endif %}{% for message in messages %}{% if message.role == 'user' %}[INST]"
    " {{ message.content }} [/INST]{% else %} {{ message.content }}{{ eos_token }}{% endif %}{%"
    " endfor %}"
)
IGNORES_SYSTEM = (
    "{% for message in messages %}{% if message.role == 'system' %}{% continue %}{% endif %}<{{"
    " message.role }}>{{ message.content }}</>{% endfor %}{% if add_generation_prompt"
    " %}<assistant>{% endif %}"
)
SYSTEM_IN_LAST_TURN = (
    "{% set system = messages[0].content if messages[0].role == 'system' %}{% for message in"
    " messages %}{% if message.role == 'user' %}<u>{% if loop.last and system %}{{ system }}\n{%"
    " endif %}{{ message.content }}</u>{% elif message.role == 'assistant' %}{{ message.content"
    " }}</a>{% endif %}{% endfor %}"
)
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}


def test_chatml() -> None:
    assert split_template(CHATML, "Be brief.", {}) == TurnTemplate(
        opening="<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n",
        closing="<|im_end|>\n<|im_start|>assistant\n",
        between="<|im_end|>\n<|im_start|>user\n",
    )


def test_a_model_that_can_think_aloud_answers_at_once() -> None:
    thinking = CHATML.replace(
        "<|im_start|>assistant\n{% endif %}",
        "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}",
    )
    assert thinking != CHATML
    parts = split_template(thinking, "Be brief.", {})
    assert parts.closing == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert parts.between == "<|im_end|>\n<|im_start|>user\n"


def test_trimmed_content_keeps_its_place() -> None:
    assert split_template(TRIMMING, " Be brief.\n", {}) == split_template(CHATML, "Be brief.", {})


def test_no_system_prompt() -> None:
    assert split_template(CHATML, "", {}).opening == "<|im_start|>user\n"
    assert split_template(NO_SYSTEM_ROLE, "", VARIABLES).opening == "<s>[INST] "


@pytest.mark.parametrize(
    ("template", "opening", "between"),
    [
        (NO_SYSTEM_ROLE, "<s>[INST] Be brief.\n\n", "</s>[INST] "),
        (IGNORES_SYSTEM, "<user>Be brief.\n\n", "</><user>"),
        (SYSTEM_IN_LAST_TURN, "<u>Be brief.\n\n", "</a><u>"),
    ],
    ids=["refuses", "ignores", "in the last turn"],
)
def test_system_prompt_goes_into_the_first_turn_where_the_template_has_no_place_for_it(
    template: str, opening: str, between: str
) -> None:
    parts = split_template(template, "Be brief.", VARIABLES)
    assert (parts.opening, parts.between) == (opening, between)


@settings(max_examples=5)
@given(
    system=st.text(max_size=40),
    turns=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5),
)
def test_the_parts_make_what_the_template_renders(system: str, turns: list[str]) -> None:
    system = system.strip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": ("user", "assistant")[index % 2], "content": text}
        for index, text in enumerate([*turns, "a", "b"])
    ]
    messages = messages[: -1 if messages[-1]["role"] == "assistant" else None]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    expected = environment.from_string(CHATML).render(messages=messages, add_generation_prompt=True)
    parts = split_template(CHATML, system, {})
    words = [message["content"] for message in messages if message["role"] != "system"]
    text = parts.opening
    for index, content in enumerate(words):
        text += content + (parts.between if index % 2 else parts.closing)
    assert text == expected


def test_a_sentinel_in_the_system_prompt_does_no_harm() -> None:
    parts = split_template(CHATML, "Say ATTUNEFIRST0 and ATTUNEREPLY0.", {})
    assert "Say ATTUNEFIRST0 and ATTUNEREPLY0." in parts.opening


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "could not be rendered within its limits",
        ),
        ("{{ 'x' * 10 ** 10 }}", "MemoryError"),
        ("{{ '%2000000000d' % 1 }}", "MemoryError"),
        ("{% for a in range(99999) %}xxxxxxxx{% endfor %}", "writes more than"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ messages.clear() }}", "SecurityError"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{{ undefined_function() }}", "UndefinedError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("the same whatever is said", "its turns differ"),
        ("{{ messages[-1].content }}{{ messages[-1].content }}", "its turns differ"),
        ("x" * (MAX_TEMPLATE_CHARACTERS + 1), "is limited to"),
        ("", "its turns differ"),
    ],
)
def test_useless_and_hostile_templates_are_refused_in_one_line(template: str, reason: str) -> None:
    with pytest.raises(AttuneError, match=reason) as caught:
        split_template(template, "Be brief.", {})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
