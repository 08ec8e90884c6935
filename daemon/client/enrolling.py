"""Enrols a manifest through the control socket: reads the manifest in this process, and hands each
recording over as an open descriptor."""

import socket
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path

from engines.errors import AttuneError
from engines.open_file import open_file

from ..control import row_stream
from ..control.requests import Enroll
from ..events.enrolment import BadRow, EnrolledAll
from ..events.event import Event
from . import manifest as manifests
from .socket_client import ask, readable

_MAX_BAD_AT_FIRST = 20
"""Enrolment ends after this many bad rows if no row was good before them."""


def enroll(
    control: Path, manifest: Path, replace: bool = False, quiet_seconds: float | None = 300.0
) -> Generator[Event, None, None]:
    """Enrol the recordings of `manifest` with the daemon at the socket `control`. Yields `enrolled`
    or `bad_row` for each row, and `enrolled_all` with the totals. With `replace`, its texts replace
    those that its recordings had before.

    Raises AttuneError if no daemon answers or the daemon fails, if the manifest cannot be read or
    is not a manifest, or if its first rows are all bad.
    """
    ours, theirs = row_stream.pair()
    command = Enroll(replace=replace)
    with (
        ours,
        theirs,
        closing(ask(control, command, quiet_seconds, descriptors=[theirs.fileno()])) as events,
    ):
        next(events)  # the daemon is ready for rows
        theirs.close()
        bad = good = 0
        for number, row in manifests.read_manifest(manifest):
            event = _enrolled(number, row, manifest, ours, events)
            if not isinstance(event, BadRow):
                good += 1
                yield event
                continue
            bad += 1
            where = f"{readable(manifest.name)} line {number}"
            yield BadRow(row=number, problem=f"{where}: {event.problem}")
            if bad >= _MAX_BAD_AT_FIRST and not good:
                raise AttuneError(
                    f"the first {bad} rows of {manifest} are all bad; correct them and enrol again"
                )
        ours.close()
        for event in events:
            yield (
                event.model_copy(update={"bad": bad}) if isinstance(event, EnrolledAll) else event
            )


def _enrolled(
    number: int,
    row: manifests.Row | manifests.BadRow,
    manifest: Path,
    ours: socket.socket,
    events: Iterator[Event],
) -> Event:
    """Send one row to the daemon. Returns the event that answers it, or a `bad_row` if the row
    cannot be sent. Raises AttuneError if the daemon fails."""
    if isinstance(row, manifests.BadRow):
        return BadRow(row=number, problem=row.problem)
    try:
        recording = open_file(manifest.parent / row.audio)
    except AttuneError as error:
        return BadRow(row=number, problem=str(error))
    with recording:
        told = row_stream.Row(number=number, name=readable(recording.name), text=row.text)
        with suppress(OSError):  # if the daemon has closed the stream, its next event says why
            row_stream.send(ours, told, recording)
    event = next(events, None)
    if event is None:
        raise AttuneError("the daemon ended the enrolment before its last row; its log says why")
    return event
