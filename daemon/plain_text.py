"""Makes text that came from elsewhere fit for a terminal. Knows no terminal."""

import logging
import re
from functools import cache
from pathlib import Path

from engines.errors import AttuneError

from .discreet_log import DiscreetFormatter

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ODD = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # control characters, except tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these change the direction of writing
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ud800-\udfff"  # halves of surrogate pairs, for bytes that are not UTF-8
    "\ufff9-\ufffb\U000e0000-\U000e007f]"  # annotations and tags, which are invisible
)


def plain(text: str) -> str:
    """Replace each character that could steer a terminal, or show letters in another order, by
    U+FFFD."""
    return _ODD.sub(_REPLACEMENT, text)


def one_line(text: str) -> str:
    """Make a text plain and put it on one line."""
    return " ".join(plain(text).splitlines())


def escaped(json_text: str) -> str:
    """Write the characters that `plain` replaces as `\\uXXXX`, which means the same in JSON."""
    return _ODD.sub(lambda found: _escape(found.group()), json_text)


class PlainFormatter(DiscreetFormatter):
    """Formats the records of a log as plain text."""

    def format(self, record: logging.LogRecord) -> str:
        """Format `record` as logging does, and make the text plain."""
        return plain(super().format(record))


@cache
def _escape(character: str) -> str:
    if character in "\n\r":  # they stand between values; within a text JSON has escaped them
        return character
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))


def expanded(path: Path) -> Path:
    """Resolve `~` and `~NAME` in `path`. Raises AttuneError if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise AttuneError(
            f"{path} names the home of a user that is not known; write ./{path} for a file of that"
            " name"
        ) from error
