"""Reads Wyoming events within bounds: a header that lies about a size cannot take the memory."""

import asyncio
import json

from wyoming.event import Event

from engines.errors import AttuneError

MOST_HEADER_BYTES = 1 << 16
MOST_DATA_BYTES = 1 << 18
MOST_PAYLOAD_BYTES = 1 << 21
"""A minute of sound at 16 kHz; clients send a tenth of a second at a time."""


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """Read the next event; None once the client has ended. Raises AttuneError for what is none."""
    try:
        line = await reader.readline()  # the reader's limit is MOST_HEADER_BYTES
        if not line:
            return None
        header = json.loads(line)
        kind = header["type"]
        data = header.get("data") or {}
        data_bytes = await _read(reader, header.get("data_length"), MOST_DATA_BYTES, "data")
        if data_bytes:
            data = {**data, **json.loads(data_bytes)}
        payload = await _read(reader, header.get("payload_length"), MOST_PAYLOAD_BYTES, "payload")
    except asyncio.IncompleteReadError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AttuneError("this is no event of Wyoming's") from error
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise AttuneError("this is no event of Wyoming's")
    return Event(kind, data, payload or None)


async def _read(reader: asyncio.StreamReader, length: object, most: int, what: str) -> bytes:
    if length is None:
        return b""
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= most:
        raise AttuneError(f"the {what} of an event has at most {most} bytes, not {length!r:.40}")
    return await reader.readexactly(length)
