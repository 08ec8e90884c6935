"""The errors of HTTP, in the form that OpenAI's clients read."""

from typing import Any

from engines.chat import TooLongError
from engines.errors import AttuneError

RETRY_SECONDS = 2


class RefusedError(AttuneError):
    """A request that is refused with a status of its own."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside the error."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_SECONDS)} if self.status == 503 else {}


class BusyError(RefusedError):
    """Nothing can be done for the client now; it may try again."""

    def __init__(self, message: str) -> None:
        super().__init__(503, message, "busy")


def refusal(error: AttuneError) -> RefusedError:
    """`error` as one with a status: what is no other is the fault of the request."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, TooLongError):
        return RefusedError(400, str(error), "context_length_exceeded", "messages")
    return RefusedError(400, str(error))


def body(error: RefusedError) -> dict[str, Any]:
    """The body of the answer."""
    return {
        "error": {
            "message": str(error),
            "type": _type(error.status),
            "param": error.param,
            "code": error.code,
        }
    }


def _type(status: int) -> str:
    if status in (401, 403):
        return "authentication_error" if status == 401 else "permission_error"
    return "invalid_request_error" if status < 500 else "server_error"
