"""`attune tools`: the tools of other programs that the language model may call."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from engines.errors import AttuneError
from engines.llm.requantize import served_weights
from engines.models.cache import model_path

from ..config.settings import Settings
from ..model_files import model_files
from ..tools.gate import cases, is_right
from ..tools.gate_results import GateResult, GateResults
from ..tools.servers import CONNECT_SECONDS, McpServers
from ..tools.servers_file import McpServer, read_servers
from ..tools.tool import Tool
from .common import AsJson, console, errors, print_json, settings
from .sheet import Sheet

app = typer.Typer(
    help="Tools of other programs (MCP) that the language model may call.", no_args_is_help=True
)


@app.command("list")
def list_tools(as_json: AsJson = False) -> None:
    """Show the tools that the MCP servers offer, and which may be called.

    The servers are reached for this, and programs among them are started. The exit code is 1 if
    one cannot be reached.
    """
    chosen = settings()
    if chosen.tools.servers in ("", "none"):
        raise AttuneError(
            "there are no MCP servers; name the file that lists them in the setting tools.servers"
        )
    given = read_servers(Path(chosen.tools.servers))
    servers = McpServers(given, complaints=sys.stderr)
    servers.start()
    try:
        servers.wait(CONNECT_SECONDS)
        offered, problems = servers.offered, servers.problems
    finally:
        servers.stop()
    result = GateResults(chosen.state_dir).of(_language_model(chosen))
    if as_json:
        print_json(
            {
                "tools": [
                    {
                        "server": tool.server,
                        "name": tool.name,
                        "description": tool.description,
                        "called": _called(tool, given[tool.server]),
                    }
                    for tool in offered
                ],
                "problems": problems,
                "language_model": result.model_dump() if result is not None else None,
            }
        )
    else:
        rows = [
            (tool.server, tool.name, _called(tool, given[tool.server]), tool.description)
            for tool in offered
        ]
        if rows:
            console.print(
                Sheet(("server", "tool", "called", "what it does"), rows, {"what it does"})
            )
        console.print(_told(chosen, result), highlight=False, soft_wrap=True)
    if problems:
        raise AttuneError("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


@app.command()
def measure(
    model: Annotated[
        str | None,
        typer.Option(help="A language model by its name. Default: the one that replies."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try a language model on a hundred requests, and keep how many it gets right.

    The daemon does this by itself while nobody talks, once, for the one that replies.
    """
    chosen = settings()
    path = _language_model(chosen)
    if model is not None:
        path = served_weights(model_path(model, chosen.cache_dir), chosen.cache_dir)
    result, wrong = _tried(chosen, path)
    if as_json:
        print_json({**result.model_dump(), "passed": result.passed, "wrong": wrong})
        return
    for one in wrong:
        console.print(
            f"{one['words']}: {one['chosen'] or 'no tool'}, not {one['right'] or 'no tool'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"{path.name}: {result.for_people}", highlight=False, soft_wrap=True)


def _tried(chosen: Settings, path: Path) -> tuple[GateResult, list[dict[str, str]]]:
    """How well the language model `path` chooses, and what it gets wrong."""
    from engines.llm.chat_model import LlamaCppLanguageModel  # imports llama.cpp
    from engines.llm.vocabulary import Vocabulary

    from ..tools.choosing import choose

    results = GateResults(chosen.state_dir)
    with ExitStack() as stack:
        vocabulary = Vocabulary(path)
        stack.callback(vocabulary.close)
        opened = LlamaCppLanguageModel(
            path,
            vocabulary,
            chosen.conversation.system_prompt,
            chosen.llm.context_tokens,
            chosen.engines.threads,
        )
        stack.callback(opened.close)
        chat = opened.client_chat
        if not chat.knows_tools:
            return results.keep(path, knows_tools=False, right=0, of=0, at=time.time()), []
        tools, requests = cases()
        wrong = []
        for number, case in enumerate(requests, 1):
            calls = choose(chat, tools, case.words)
            if not is_right(calls, case):
                said = ", ".join(call.for_people for call in calls)
                wrong.append({"words": case.words, "chosen": said, "right": case.tool or ""})
            errors.print(f"{number} of {len(requests)}", end="\r", highlight=False)
        right = len(requests) - len(wrong)
        kept = results.keep(path, knows_tools=True, right=right, of=len(requests), at=time.time())
    return kept, wrong


def _language_model(chosen: Settings) -> Path:
    return model_files(chosen).replying_language_model


def _called(tool: Tool, server: McpServer) -> str:
    if tool.name not in server.allow:
        return "no"
    return "once you say yes" if tool.asks_first else "at once"


def _told(chosen: Settings, result: GateResult | None) -> str:
    """Whether the language model gets them."""
    if chosen.tools.use != "auto":
        may = "they may be called" if chosen.tools.use else "none may be called"
        return f"{may}: tools.use is {str(chosen.tools.use).lower()}"
    if result is None:
        return (
            "the language model was not tried yet: the daemon does it while nobody talks, or run"
            " `attune tools measure`"
        )
    return f"{'they may be called' if result.passed else 'none may be called'}: {result.for_people}"
