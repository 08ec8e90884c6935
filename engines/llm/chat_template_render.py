"""Renders a chat template in a process of its own, under limits of time and memory: the template
comes in a model file and may be hostile.

It reads one request from standard input and writes one outcome per conversation to standard output,
both as JSON. It is run by its path and isolated (`python -I`), and imports nothing of this project.
"""

import json
import resource
import sys
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

_CPU_SECONDS = 5
_ADDRESS_SPACE_BYTES = 1 << 30


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _render(
    template: jinja2.Template, conversation: object, variables: dict[str, str], max_characters: int
) -> str:
    text = ""
    # A model that can think aloud answers at once: what it says is spoken as it is written.
    parts = template.generate(
        messages=conversation, add_generation_prompt=True, enable_thinking=False, **variables
    )
    for part in parts:
        text += part
        if len(text) > max_characters:
            raise jinja2.TemplateError(f"it writes more than {max_characters} characters")
    return text


def main() -> None:
    """Render each conversation of the request. An outcome is `{"text": …}`, or `{"error": …}` where
    the template refuses."""
    request: dict[str, Any] = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    outcomes = []
    for conversation in request["conversations"]:
        try:
            # The options and names that transformers renders chat templates with.
            environment = ImmutableSandboxedEnvironment(
                trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
            )
            environment.globals["raise_exception"] = _raise_exception
            template = environment.from_string(request["template"])
            outcomes.append(
                {
                    "text": _render(
                        template, conversation, request["variables"], request["max_characters"]
                    )
                }
            )
        except Exception as error:  # noqa: BLE001 -- a template can raise anything at all; whatever it raises, it refuses
            outcomes.append({"error": f"{type(error).__name__}: {error}"})
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
