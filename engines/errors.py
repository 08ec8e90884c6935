"""The exceptions that a user is meant to read, and the one that ends a turn. Any other exception is
a defect."""


class AttuneError(Exception):
    """An error for people, in one line: what is wrong, where, and what to do about it. The command
    line prints it and exits with status 1."""


class TurnAbandoned(Exception):
    """Nobody waits any more for the turn that is computed. The callback that long computations call
    between their steps raises it; callers let it pass."""


class RoundRefusedError(AttuneError):
    """A round is not worth continuing: nothing failed, and another attempt would end the same
    way."""
