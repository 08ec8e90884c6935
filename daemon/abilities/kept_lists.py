"""Where lists are kept: in the store, or by Home Assistant if it has one of that name."""

from collections.abc import Callable, Sequence

from ..house.client import HomeAssistant
from ..house.home import Home
from ..store.store import Store


class StoredLists:
    """Lists in the store; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def items(self, name: str) -> list[str]:
        """The items of a list, in the order in which they were added."""
        rows = self._store.rows("SELECT text FROM list_items WHERE list = ? ORDER BY id", name)
        return [text for (text,) in rows]

    def names(self) -> list[str]:
        """The names of the lists that have items."""
        rows = self._store.rows("SELECT list FROM list_items GROUP BY list ORDER BY min(id)")
        return [name for (name,) in rows]

    def add(self, name: str, items: Sequence[str]) -> None:
        """Add items; one that is there stays where it is."""
        now = self._store.clocks.wall()
        with self._store.writing() as connection:
            for item in items:
                connection.execute(
                    "INSERT OR IGNORE INTO list_items (list, text, added_at) VALUES (?, ?, ?)",
                    (name, item, now),
                )

    def remove(self, name: str, items: Sequence[str]) -> None:
        """Remove items that are there."""
        with self._store.writing() as connection:
            for item in items:
                connection.execute(
                    "DELETE FROM list_items WHERE list = ? AND text = ?", (name, item)
                )


class HouseLists:
    """Home Assistant's lists, and those in the store for names that it does not know."""

    def __init__(
        self, assistant: HomeAssistant, home: Callable[[], Home], stored: StoredLists
    ) -> None:
        self._assistant = assistant
        self._home = home
        self._stored = stored

    def items(self, name: str) -> list[str]:
        """The items of a list that are not done. Raises AttuneError if they cannot be read."""
        entity = self._entity(name)
        if entity is None:
            return self._stored.items(name)
        found = self._assistant.serve(
            "todo/get_items", {"entity_id": entity, "status": ["needs_action"]}, answers=True
        )
        listed = (found.get("service_response") or {}).get(entity) or {}
        return [str(item.get("summary")) for item in listed.get("items") or ()]

    def names(self) -> list[str]:
        """The names of the lists."""
        house = [one.name.lower() for one in self._home().entities if one.domain == "todo"]
        return list(dict.fromkeys([*house, *self._stored.names()]))

    def add(self, name: str, items: Sequence[str]) -> None:
        """Add items. Raises AttuneError if that cannot be."""
        entity = self._entity(name)
        if entity is None:
            self._stored.add(name, items)
            return
        for item in items:
            self._assistant.serve("todo/add_item", {"entity_id": entity, "item": item})

    def remove(self, name: str, items: Sequence[str]) -> None:
        """Remove items. Raises AttuneError if that cannot be."""
        entity = self._entity(name)
        if entity is None:
            self._stored.remove(name, items)
            return
        self._assistant.serve("todo/remove_item", {"entity_id": entity, "item": list(items)})

    def _entity(self, name: str) -> str | None:
        for one in self._home().entities:
            names = (one.name, *one.aliases)
            if one.domain == "todo" and any(
                said.lower() in (name, f"{name} list") for said in names
            ):
                return one.id
        return None
