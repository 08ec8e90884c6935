"""A Home Assistant of a few rooms: its WebSocket and REST interfaces as far as Attune uses them,
with the shapes that a real one of 2026.11.0 answers with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket

TOKEN = "house-token"
AREAS = [
    {"area_id": "kitchen", "name": "Kitchen", "aliases": [], "floor_id": "ground"},
    {"area_id": "bedroom", "name": "Bedroom", "aliases": ["sleeping room"], "floor_id": None},
]
ENTITIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "light.kitchen": ("Kitchen Light", "kitchen", {}),
    "light.bedroom": ("Bedroom Lamp", "bedroom", {}),
    "climate.hall": ("Thermostat", "kitchen", {"current_temperature": 19.5, "temperature": 21}),
    "lock.front": ("Front Door", "kitchen", {}),
    "cover.garage": ("Garage Door", "kitchen", {"device_class": "garage"}),
    "sensor.outdoor": (
        "Outdoor Temperature",
        "kitchen",
        {"unit_of_measurement": "°C", "device_class": "temperature"},
    ),
}


@dataclass
class FakeHomeAssistant:
    """What it was asked, and how it answers."""

    port: int = 0
    states: dict[str, str] = field(
        default_factory=lambda: {
            "light.kitchen": "off",
            "light.bedroom": "on",
            "climate.hall": "heat",
            "lock.front": "locked",
            "cover.garage": "closed",
            "sensor.outdoor": "7.5",
        }
    )
    extra_names: dict[str, str] = field(default_factory=dict)
    """Names of further lights, by entity id."""
    intents: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    """While it is set, REST does not answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def results(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = [
            {"entity_id": id_, "name": None, "area_id": area, "aliases": []}
            for id_, (_, area, _) in ENTITIES.items()
        ]
        states = [
            {
                "entity_id": id_,
                "state": self.states[id_],
                "attributes": {"friendly_name": name, **attributes},
            }
            for id_, (name, _, attributes) in ENTITIES.items()
        ]
        states += [
            {"entity_id": id_, "state": "off", "attributes": {"friendly_name": name}}
            for id_, name in self.extra_names.items()
        ]
        return {
            "config/area_registry/list": AREAS,
            "config/floor_registry/list": [{"floor_id": "ground", "name": "Ground Floor"}],
            "config/device_registry/list": [],
            "config/entity_registry/list": rows,
            "homeassistant/expose_entity/list": {
                "exposed_entities": {"lock.front": {"conversation": True}}
            },
            "get_states": states,
        }

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.websocket("/api/websocket")
        async def _socket(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_json({"type": "auth_required"})
            auth = await socket.receive_json()
            if auth.get("access_token") != TOKEN:
                await socket.send_json({"type": "auth_invalid"})
                return
            await socket.send_json({"type": "auth_ok"})
            results = self.results()
            for _ in results:
                asked = await socket.receive_json()
                await socket.send_json(
                    {
                        "id": asked["id"],
                        "type": "result",
                        "success": True,
                        "result": results[asked["type"]],
                    }
                )

        def refused(request: Request) -> bool:
            return request.headers.get("authorization") != f"Bearer {TOKEN}"

        @app.post("/api/intent/handle")
        async def _intent(request: Request) -> Any:
            if refused(request):
                return Response(status_code=401)
            await self._may_hang()
            body = await request.json()
            self.intents.append((body["name"], body["data"]))
            return {
                "response_type": "action_done",
                "speech": {},
                "data": {"targets": [], "success": [], "failed": []},
            }

        @app.post("/api/conversation/process")
        async def _process(request: Request) -> Any:
            body = await request.json()
            self.sentences.append(body["text"])
            known = "weather" in body["text"]
            said = "Sunny, 12 degrees" if known else "Sorry, I did not understand that"
            return {
                "response": {
                    "response_type": "query_answer" if known else "error",
                    "speech": {"plain": {"speech": said}},
                }
            }

        @app.get("/api/states/{entity}")
        async def _state(entity: str, request: Request) -> Any:
            if refused(request):
                return Response(status_code=401)
            name, _, attributes = ENTITIES.get(entity, (self.extra_names.get(entity), "", {}))
            return {
                "entity_id": entity,
                "state": self.states.get(entity, "off"),
                "attributes": {"friendly_name": name, **attributes},
            }

        return app

    async def _may_hang(self) -> None:
        import asyncio

        while self.hangs.is_set():
            await asyncio.sleep(0.05)


@contextmanager
def fake_home_assistant() -> Iterator[FakeHomeAssistant]:
    """Serve one on a free port of this machine."""
    fake = FakeHomeAssistant()
    server = uvicorn.Server(
        uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    fake.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        fake.hangs.clear()
        server.should_exit = True
        thread.join()
