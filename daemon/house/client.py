"""Speaks with Home Assistant: its registries over WebSocket, intents and states over REST.

The interface is described at https://developers.home-assistant.io/docs/api. Every call is bounded
in time and size, and the token is in no error and no log.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from engines.errors import AttuneError

from .home import Home, home_of

_SECONDS = 3.0
_MOST_BYTES = 16 << 20
_LISTS = (
    "config/area_registry/list",
    "config/floor_registry/list",
    "config/device_registry/list",
    "config/entity_registry/list",
    "homeassistant/expose_entity/list",
    "get_states",
)


class HomeAssistant:
    """A Home Assistant at an address, to which a token gives access."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return urlsplit(self._url).netloc

    def home(self) -> Home:
        """Return its rooms and devices. Raises AttuneError if it cannot be reached, or refuses the
        token."""
        # Imported where it is wanted: it takes memory.
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        address = "ws" + self._url.removeprefix("http") + "/api/websocket"
        try:
            with connect(address, open_timeout=_SECONDS, max_size=_MOST_BYTES) as socket:

                def received() -> dict[str, Any]:
                    found = json.loads(socket.recv(_SECONDS))
                    return found if isinstance(found, dict) else {}

                received()  # auth_required
                socket.send(json.dumps({"type": "auth", "access_token": self._token}))
                if received().get("type") != "auth_ok":
                    raise AttuneError(f"Home Assistant at {self.place} refuses the token")
                lists = []
                for number, kind in enumerate(_LISTS, 1):
                    socket.send(json.dumps({"id": number, "type": kind}))
                    lists.append(received())
        except (OSError, TimeoutError, ValueError, WebSocketException) as error:
            raise AttuneError(
                f"Home Assistant at {self.place} cannot be reached: {_line(error)}"
            ) from error
        areas, floors, devices, registry, exposed, states = (
            one.get("result") if one.get("success") else None for one in lists
        )
        if states is None:
            raise AttuneError(f"Home Assistant at {self.place} does not tell its states")
        listed = exposed.get("exposed_entities") if isinstance(exposed, dict) else None
        return home_of(
            areas or [], floors or [], devices or [], registry or [], listed or {}, states
        )

    def handle(self, intent: str, slots: Mapping[str, object]) -> dict[str, Any]:
        """Have an intent carried out, and return its response. Raises AttuneError if it fails, in a
        sentence that can be said."""
        return self._call("/api/intent/handle", {"name": intent, "data": dict(slots)})

    def process(self, text: str) -> dict[str, Any]:
        """Have Home Assistant's own sentences tried on `text`, and return the response. Raises
        AttuneError as `handle` does."""
        found = self._call(
            "/api/conversation/process",
            {"text": text, "language": "en", "agent_id": "conversation.home_assistant"},
        )
        response = found.get("response")
        return response if isinstance(response, dict) else {}

    def state(self, entity: str) -> dict[str, Any]:
        """Return the state of an entity. Raises AttuneError as `handle` does."""
        return self._call(f"/api/states/{quote(entity)}")

    def serve(
        self, service: str, data: Mapping[str, object], *, answers: bool = False
    ) -> dict[str, Any]:
        """Call a service, such as `todo/add_item`, and return its response if it `answers`. Raises
        AttuneError as `handle` does."""
        return self._call(f"/api/services/{service}{'?return_response' if answers else ''}", data)

    def _call(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 (the settings allow http and https only)
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                found = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise AttuneError("Home Assistant refuses my token.") from error
            raise AttuneError("Home Assistant could not do that.") from error
        except (OSError, TimeoutError, ValueError) as error:
            raise AttuneError("Home Assistant cannot be reached.") from error
        return found if isinstance(found, dict) else {}


def said_in(response: Mapping[str, Any]) -> str:
    """Return what a response has to say; empty if it has nothing."""
    speech = response.get("speech") or {}
    plain = speech.get("plain") or {} if isinstance(speech, dict) else {}
    said = plain.get("speech") if isinstance(plain, dict) else None
    return " ".join(said.split())[:400] if isinstance(said, str) else ""


def read_token(path: Path) -> str:
    """Return the token in the file `path`. Raises AttuneError if there is none, or others may read
    it."""
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AttuneError(
            f"the token of Home Assistant cannot be read from {path}: {_line(error)}"
        ) from error
    if mode & 0o077:
        raise AttuneError(f"others may read {path}; run `chmod 600 {path}`")
    if not token or not token.isascii() or not token.isprintable() or len(token.split()) != 1:
        raise AttuneError(f"{path} holds no token; paste a long-lived access token into it")
    return token


def _line(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or repr(error))[:200]
