"""The rooms and devices of a house, and how their states are said. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DOMAINS = frozenset(
    "alarm_control_panel binary_sensor climate cover fan humidifier input_boolean lawn_mower light"
    " lock media_player scene script sensor switch todo vacuum valve water_heater weather".split()
)
"""The kinds of entities that are spoken of."""
_USUALLY = frozenset(
    "climate cover fan humidifier light media_player scene switch todo vacuum water_heater".split()
)
_USUAL_CLASSES = {
    "binary_sensor": frozenset("door garage_door lock motion opening presence window".split()),
    "sensor": frozenset(
        "aqi carbon_dioxide carbon_monoxide humidity pm10 pm25 temperature"
        " volatile_organic_compounds".split()
    ),
}
"""What Home Assistant lets assistants speak of unless its user says otherwise."""
_MOST_NAME_CHARACTERS = 80


@dataclass(frozen=True)
class Area:
    """A room."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    floor: str | None = None


@dataclass(frozen=True)
class Entity:
    """A device, or one of its parts."""

    id: str
    """Such as `light.kitchen`."""
    name: str
    aliases: tuple[str, ...] = ()
    area: str | None = None
    """Id of its room."""
    device_class: str | None = None

    @property
    def domain(self) -> str:
        """What kind of entity it is, such as `light`."""
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Home:
    """All that can be spoken of in a house."""

    areas: tuple[Area, ...] = ()
    floors: Mapping[str, str] = field(default_factory=dict)
    """The names of floors, by id."""
    entities: tuple[Entity, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of rooms and devices, which are likelier to be said than other words."""
        named: list[Area | Entity] = [*self.areas, *self.entities]
        names = [name for one in named for name in (one.name, *one.aliases)]
        return list(dict.fromkeys(names))

    def name_of(self, id_: str) -> str:
        """The name of a room or a device; its id if it is not known."""
        names = {one.id: one.name for one in self.areas} | {
            one.id: one.name for one in self.entities
        }
        return names.get(id_) or self.floors.get(id_, id_)

    def entity(self, id_: str) -> Entity | None:
        """The entity with that id; None if there is none."""
        return next((one for one in self.entities if one.id == id_), None)

    def gazetteer(self) -> dict[str, Any]:
        """The home in the form of gazetteer-matcher."""
        return {
            "areas": {
                area.id: {"name": area.name, "aliases": list(area.aliases), "floor": area.floor}
                for area in self.areas
            },
            "floors": {id_: {"name": name} for id_, name in self.floors.items()},
            "entities": {
                entity.id: {
                    "name": entity.name,
                    "aliases": list(entity.aliases),
                    "domain": entity.domain,
                    "area": entity.area,
                    **({"device_class": entity.device_class} if entity.device_class else {}),
                }
                for entity in self.entities
            },
        }


def home_of(
    areas: Sequence[Mapping[str, Any]],
    floors: Sequence[Mapping[str, Any]],
    devices: Sequence[Mapping[str, Any]],
    registry: Sequence[Mapping[str, Any]],
    exposed: Mapping[str, Mapping[str, Any]],
    states: Sequence[Mapping[str, Any]],
) -> Home:
    """Make a home of what Home Assistant's registries list. Entities that are hidden, disabled, not
    to be spoken of, or without a name that can be said, are left out."""
    rooms = {str(device["id"]): device.get("area_id") for device in devices}
    rows = {str(row["entity_id"]): row for row in registry}
    known = {str(area["area_id"]) for area in areas}
    entities = []
    for state in states:
        id_ = str(state["entity_id"])
        row = rows.get(id_, {})
        attributes = state.get("attributes") or {}
        name = _name(row.get("name") or attributes.get("friendly_name"))
        wanted = exposed.get(id_, {}).get("conversation", _is_usual(id_, attributes))
        hidden = row.get("hidden_by") or row.get("disabled_by") or row.get("entity_category")
        if id_.partition(".")[0] not in DOMAINS or not name or not wanted or hidden:
            continue
        area = row.get("area_id") or rooms.get(str(row.get("device_id")))
        entities.append(
            Entity(
                id_,
                name,
                _aliases(row),
                area if area in known else None,
                attributes.get("device_class"),
            )
        )
    return Home(
        tuple(
            Area(str(area["area_id"]), name, _aliases(area), area.get("floor_id"))
            for area in areas
            if (name := _name(area.get("name")))
        ),
        {str(floor["floor_id"]): _name(floor.get("name")) or "" for floor in floors},
        tuple(entities),
    )


def _is_usual(entity: str, attributes: Mapping[str, Any]) -> bool:
    domain = entity.partition(".")[0]
    classes = _USUAL_CLASSES.get(domain, frozenset())
    return domain in _USUALLY or attributes.get("device_class") in classes


def _name(value: object) -> str | None:
    """A name that can be said: of one line, and not too long."""
    if not isinstance(value, str):
        return None
    name = " ".join(value.split())
    sayable = any(letter.isalnum() for letter in name) and name.isprintable()
    return name if sayable and len(name) <= _MOST_NAME_CHARACTERS else None


def _aliases(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for alias in row.get("aliases") or () if (name := _name(alias)))
