"""What every path needs of a request."""

from fastapi import Request
from starlette.requests import HTTPConnection

from .errors import BusyError
from .offered import Offered, Running


def offered_by(connection: HTTPConnection) -> Offered:
    """The parts of the daemon that `connection` reaches."""
    found: Offered = connection.app.state.offered
    return found


def running(offered: Offered) -> Running:
    """What there is once the models are open. Raises BusyError before."""
    found = offered.running()
    if found is None:
        raise BusyError("the models are still being opened; try again in a moment")
    return found


def who(connection: HTTPConnection) -> str:
    """By what name the client's turn is reckoned."""
    found: str = connection.state.who
    return found


def request_id(request: Request) -> str:
    """The id by which the log names a request."""
    found: str = request.state.request_id
    return found
