"""Hands recordings of a phrase to the daemon, to learn by which words its user calls."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from engines.open_file import open_file

from ..control import row_stream
from ..control.requests import LearnPhrase
from ..events.event import Event
from .socket_client import ask, readable


def learn_phrase(
    control: Path, command: LearnPhrase, recordings: Sequence[Path]
) -> Generator[Event, None, None]:
    """Have the daemon at the socket `control` learn a phrase from `recordings`, or from its
    microphone if there are none. Yields the events that answer it.

    Raises AttuneError if no daemon answers or the daemon fails, or if a recording cannot be read.
    """
    if not recordings:
        yield from ask(control, command)
        return
    ours, theirs = row_stream.pair()
    with ours, theirs:
        with ExitStack() as files:
            for number, path in enumerate(recordings, 1):
                recording = files.enter_context(open_file(path))
                row = row_stream.Row(
                    number=number, name=readable(recording.name), text=command.text
                )
                row_stream.send(ours, row, recording)  # so few fit into the socket
        ours.close()
        with closing(ask(control, command, descriptors=[theirs.fileno()])) as events:
            yield from events
