"""Runs inside Home Assistant's own Python: a house with lights, a thermostat, a lock and a shopping
list, until the file `stop` is there. `house.py FOLDER WYOMING_PORT HTTP_PORT` writes a token to the
file `token`, and prints JSON at its end.

Its wyoming integration has Attune as the conversation agent: what Home Assistant can do itself
comes back as an intent.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from homeassistant import bootstrap, const, runner
from homeassistant.core import Context

SENTENCES = (
    "Turn on the kitchen light",
    "Turn off the bedroom lamp",
    "What time is it?",
)
SWITCHED = """
      - name: {name}
        unique_id: {id}
        {state}: "{{{{ is_state('input_boolean.{id}', 'on') }}}}"
        {on}: {{action: input_boolean.turn_on, target: {{entity_id: input_boolean.{id}}}}}
        {off}: {{action: input_boolean.turn_off, target: {{entity_id: input_boolean.{id}}}}}"""
LIGHTS = {"kitchen": "Kitchen Light", "bedroom": "Bedroom Lamp", "ceiling": "Ceiling Lights"}


def configuration(http_port: int) -> str:
    names = [*LIGHTS, "door", "heater"]
    switches = "".join(f"\n  {name}:\n    initial: {name == 'bedroom'}" for name in names)
    lights = "".join(
        SWITCHED.format(name=name, id=id_, state="state", on="turn_on", off="turn_off")
        for id_, name in LIGHTS.items()
    )
    door = SWITCHED.format(name="Front Door", id="door", state="state", on="unlock", off="lock")
    door = door.replace(
        "is_state('input_boolean.door', 'on')",
        "'unlocked' if is_state('input_boolean.door', 'on') else 'locked'",
    )
    return (
        f"homeassistant:\nhttp:\n  server_port: {http_port}\n  server_host: 127.0.0.1\napi:\n"
        "websocket_api:\nconversation:\nassist_pipeline:\nintent:\n"
        f"input_boolean:{switches}\n"
        f"template:\n  - light:{lights}\n  - lock:{door}\n"
        "  - sensor:\n      - name: Room Temperature\n        unique_id: room\n"
        "        unit_of_measurement: °C\n        device_class: temperature\n"
        '        state: "20.5"\n'
        "climate:\n  - platform: generic_thermostat\n    name: Thermostat\n"
        "    heater: input_boolean.heater\n    target_sensor: sensor.room_temperature\n"
        "    initial_hvac_mode: heat\n    target_temp: 21\n"
    )


async def main(folder: Path, wyoming: int, http_port: int) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configuration.yaml").write_text(configuration(http_port))
    hass = await bootstrap.async_setup_hass(
        runner.RuntimeConfig(config_dir=str(folder), skip_pip=False)
    )
    await hass.async_start()
    found: dict = {"version": const.__version__}
    await hass.config_entries.flow.async_init("shopping_list", context={"source": "user"})
    await hass.async_block_till_done()
    from homeassistant.components.homeassistant.exposed_entities import async_expose_entity

    async_expose_entity(hass, "conversation", "lock.front_door", True)
    user = await hass.auth.async_create_system_user("attune", group_ids=["system-admin"])
    token = await hass.auth.async_create_refresh_token(user)
    (folder / "token").write_text(hass.auth.async_create_access_token(token))
    (folder / "token").chmod(0o600)
    while not (folder / "attune").exists():  # the daemon answers
        await asyncio.sleep(0.2)
    flow = await hass.config_entries.flow.async_init(
        "wyoming", context={"source": "user"}, data={"host": "127.0.0.1", "port": wyoming}
    )
    found["flow"] = str(flow["type"])
    await hass.async_block_till_done()
    from homeassistant.components import conversation

    found["answers"] = []
    for words in SENTENCES:
        answer = await conversation.async_converse(
            hass, words, None, Context(), language="en", agent_id="conversation.attune"
        )
        speech = answer.response.speech.get("plain", {}).get("speech", "")
        found["answers"].append((words, answer.response.response_type.value, speech))
    found["after_intents"] = {
        state.entity_id: state.state for state in hass.states.async_all("light")
    }
    (folder / "intents").write_text("done")
    while not (folder / "stop").exists():
        await asyncio.sleep(0.2)
    found["states"] = {
        state.entity_id: [state.state, state.attributes.get("temperature")]
        for state in hass.states.async_all()
    }
    await hass.async_stop()
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    given_folder, given_wyoming, given_http = sys.argv[1:]
    outcome = asyncio.run(main(Path(given_folder), int(given_wyoming), int(given_http)))
    print("FOUND " + json.dumps(outcome))
