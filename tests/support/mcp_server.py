"""A small MCP server, a real one: `python -m tests.support.mcp_server` speaks by its standard input
and output, with a port as its argument over HTTP."""

import os
import sys
import time

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("kitchen")
HARMLESS = ToolAnnotations(read_only_hint=True)


@server.tool(annotations=HARMLESS)
def get_menu(day: str) -> str:
    """Tell what there is to eat."""
    return f"On {day} there is\n soup."


@server.tool(title="order food")
def order(dish: str, plates: int = 1) -> str:
    """Order a dish."""
    return f"{plates} of {dish}, for {os.environ.get('GUEST', 'nobody')}"


@server.tool(annotations=HARMLESS)
def wait_long() -> str:
    """Answer too late."""
    time.sleep(60)
    return "late"


@server.tool()
def burn() -> str:
    """Fail."""
    raise ValueError("the oven is off")


@server.tool(annotations=HARMLESS)
def recite() -> str:
    """Recite without an end."""
    return "la " * 100_000


@server.tool(annotations=HARMLESS)
def quit_kitchen() -> str:
    """End the server."""
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        print("a complaint with secrets", file=sys.stderr)
        server.run("stdio")
