"""Splits a model's chat template into the three texts that surround the words of a conversation.
Knows no tokens and no model.

The template is rendered with sentinels in place of the words; the texts between the sentinels are
what it adds.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..device.process_time import HungError, run_to_its_end
from ..errors import AttuneError

MAX_TEMPLATE_CHARACTERS = 65_536
MAX_SYSTEM_PROMPT_CHARACTERS = 65_536

_RENDER_SECONDS = 30.0
"""The limit on the rendering process, of processor time and of sleep: it takes a tenth of a second,
and limits itself further."""

_MAX_OUTCOME_CHARACTERS = 160
_MAX_REFUSAL_CHARACTERS = 400

_Conversation = list[dict[str, str]]


@dataclass(frozen=True)
class TurnTemplate:
    """The texts of a conversation: `opening`, then for each turn the user's words, `closing`, the
    reply and `between`."""

    opening: str
    """The text from the beginning, with the system prompt, to the first user's words."""
    closing: str
    """The text from the user's words to the beginning of the reply."""
    between: str
    """The text from the end of a reply to the next user's words."""


def split_template(template: str, system_prompt: str, variables: Mapping[str, str]) -> TurnTemplate:
    """Split the Jinja `template`, rendered with `system_prompt` (none where it is empty) and
    `variables` such as `bos_token`.

    A template that has no place for a system prompt gets it at the head of the first user's turn.
    Raises AttuneError where the template is too long, fails, exceeds its limits, or puts other
    texts around one turn than around the next.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS or len(system_prompt) > MAX_SYSTEM_PROMPT_CHARACTERS:
        raise AttuneError(
            f"a chat template is limited to {MAX_TEMPLATE_CHARACTERS} characters and a system"
            f" prompt to {MAX_SYSTEM_PROMPT_CHARACTERS}; these have {len(template)} and"
            f" {len(system_prompt)}"
        )
    system_prompt = system_prompt.strip()
    first, reply, second = (
        _sentinel(name, template + system_prompt) for name in ("FIRST", "REPLY", "SECOND")
    )
    folded = f"{system_prompt}\n\n{first}" if system_prompt else first
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    # Each way of placing the system prompt, as a conversation of one turn and one of two.
    layouts: list[_Conversation] = []
    for head, opening_words in ((system, first), ([], folded)):
        one_turn = [*head, {"role": "user", "content": opening_words}]
        layouts += [
            one_turn,
            [
                *one_turn,
                {"role": "assistant", "content": reply},
                {"role": "user", "content": second},
            ],
        ]
    outcomes = _render(template, layouts, variables)
    for one, two in (outcomes[:2], outcomes[2:]):
        parts = _parts(one.get("text", ""), two.get("text", ""), (first, reply, second))
        if parts and system_prompt in parts.opening:
            return parts
    reason = (
        outcomes[2].get("error") or outcomes[3].get("error") or "its turns differ from one another"
    )
    reason = " ".join(reason.split())[:_MAX_OUTCOME_CHARACTERS]
    raise AttuneError(
        f"the language model's chat template cannot be used ({reason}); use another instruct model"
    )


def template_parts(
    template: str, roles: Sequence[str], variables: Mapping[str, Any]
) -> tuple[str, ...]:
    """What the Jinja `template`, rendered with `variables`, puts before, between and after messages
    of `roles`, and at the beginning of the reply that follows: one text more than there are
    messages.

    Raises AttuneError where the template is too long, fails, exceeds its limits, or does not write
    each message once and in its place.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise AttuneError(f"a chat template is limited to {MAX_TEMPLATE_CHARACTERS} characters")
    words = [_sentinel(f"MESSAGE{number}N", template) for number in range(len(roles))]
    conversation = [
        {"role": role, "content": word} for role, word in zip(roles, words, strict=True)
    ]
    (outcome,) = _render(template, [conversation], variables)
    rest, parts = outcome.get("text", ""), []
    for word in words:
        before, found, rest = rest.partition(word)
        if not found or word in rest:
            reason = outcome.get("error") or "it leaves messages out, or moves them"
            reason = " ".join(reason.split())[:_MAX_OUTCOME_CHARACTERS]
            raise AttuneError(
                f"the language model's chat template does not take such messages ({reason}): their"
                f" roles are {', '.join(roles)}"[:_MAX_REFUSAL_CHARACTERS]
            )
        parts.append(before)
    return (*parts, rest)


def _sentinel(name: str, taken: str) -> str:
    """A word that begins with `name`, has no spaces, quotes or markup, and does not occur in
    `taken`."""
    number = 0
    while (word := f"ATTUNE{name}{number}") in taken:
        number += 1
    return word


def _parts(one_turn: str, two_turns: str, sentinels: tuple[str, str, str]) -> TurnTemplate | None:
    """The texts around the sentinels; None where a sentinel is not there exactly once, or the turns
    differ."""
    first, reply, second = sentinels
    if one_turn.count(first) != 1 or any(two_turns.count(sentinel) != 1 for sentinel in sentinels):
        return None
    opening, closing = one_turn.split(first)
    if not two_turns.startswith(opening + first) or not two_turns.endswith(second + closing):
        return None
    between = two_turns.removesuffix(second + closing).split(reply)[-1]
    return TurnTemplate(opening, closing, between)


def _render(
    template: str, conversations: Sequence[_Conversation], variables: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Render each of `conversations`: `{"text": …}`, or `{"error": …}` where the template fails."""
    request = {
        "template": template,
        "conversations": conversations,
        "variables": dict(variables),
        "max_characters": MAX_TEMPLATE_CHARACTERS + MAX_SYSTEM_PROMPT_CHARACTERS,
    }
    command = [sys.executable, "-I", str(Path(__file__).with_name("chat_template_render.py"))]
    try:
        child = run_to_its_end(
            command,
            json.dumps(request).encode(),
            processor_seconds=_RENDER_SECONDS,
            asleep_seconds=_RENDER_SECONDS,
        )
        if child.returncode == 0:
            outcomes: list[dict[str, str]] = json.loads(child.stdout)
            return outcomes
        reason = f"status {child.returncode}"
    except HungError as error:
        reason = f"its process {error}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise AttuneError(
        f"the language model's chat template could not be rendered within its limits ({reason});"
        " use another model"
    )
