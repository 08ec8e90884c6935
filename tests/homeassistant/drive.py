"""Runs inside Home Assistant's own Python: sets its wyoming integration up by the config flow, and
runs an Assist pipeline with a recording; then its llama_cpp integration, which speaks OpenAI's
interface. `drive.py FOLDER WYOMING_PORT HTTP_PORT RECORDING.raw` prints JSON.

The recording is 16 kHz, 16 bits, mono.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from homeassistant import bootstrap, const, runner
from homeassistant.core import Context

CONFIGURATION = "homeassistant:\nconversation:\nassist_pipeline:\n"
CHUNK_BYTES = 3200


async def sound(path: Path):
    """The recording as a microphone gives it, and silence after it for as long as it is read."""
    pcm = path.read_bytes()
    for start in range(0, len(pcm), CHUNK_BYTES):
        yield pcm[start : start + CHUNK_BYTES]
        await asyncio.sleep(0.1)
    for _ in range(300):
        yield bytes(CHUNK_BYTES)
        await asyncio.sleep(0.1)


async def by_llama_cpp(hass, port: int) -> dict:
    """Attune as a conversation agent by its address alone."""
    from homeassistant.components import conversation
    from homeassistant.components.homeassistant.exposed_entities import async_expose_entity

    hass.states.async_set("light.kitchen_light", "off", {"friendly_name": "kitchen light"})
    async_expose_entity(hass, "conversation", "light.kitchen_light", True)
    before = {state.entity_id for state in hass.states.async_all("conversation")}
    flow = await hass.config_entries.flow.async_init(
        "llama_cpp",
        context={"source": "user"},
        data={"base_url": f"http://127.0.0.1:{port}/v1"},
    )
    steps = [str(flow["type"])]
    if flow.get("step_id") == "model":
        flow = await hass.config_entries.flow.async_configure(
            flow["flow_id"], {"chat_model": "attune"}
        )
        steps.append(str(flow["type"]))
    await hass.async_block_till_done()
    new = {state.entity_id for state in hass.states.async_all("conversation")} - before
    found: dict = {"steps": steps, "errors": flow.get("errors"), "entities": sorted(new)}
    for agent in sorted(new)[:1]:
        answers = []
        talk = None
        for words in ("What is the capital of France?", "And of Italy?"):
            answer = await conversation.async_converse(
                hass, words, talk, Context(), language="en", agent_id=agent
            )
            talk = answer.conversation_id
            speech = answer.response.speech.get("plain", {}).get("speech", "")
            answers.append((answer.response.response_type.value, speech))
        found["answers"] = answers
    return found


async def main(folder: Path, port: int, http_port: int, recording: Path) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configuration.yaml").write_text(CONFIGURATION)
    hass = await bootstrap.async_setup_hass(
        runner.RuntimeConfig(config_dir=str(folder), skip_pip=False)
    )
    await hass.async_start()
    # Only now are the packages there that these import: it installs them itself.
    from homeassistant.components import assist_pipeline, conversation, stt, tts

    found: dict = {"version": const.__version__}
    flow = await hass.config_entries.flow.async_init(
        "wyoming", context={"source": "user"}, data={"host": "127.0.0.1", "port": port}
    )
    found["flow"] = str(flow["type"])
    await hass.async_block_till_done()
    found["entities"] = sorted(
        state.entity_id for state in hass.states.async_all() if "attune" in state.entity_id
    )
    answer = await conversation.async_converse(
        hass, "Say hello.", None, Context(), language="en", agent_id="conversation.attune"
    )
    found["conversation"] = answer.response.speech["plain"]["speech"]
    pipeline = await assist_pipeline.pipeline.async_create_default_pipeline(
        hass, "stt.attune", "tts.attune", "attune"
    )
    await assist_pipeline.pipeline.async_update_pipeline(
        hass, pipeline, conversation_engine="conversation.attune"
    )
    events: list[tuple[str, float, dict]] = []
    began = asyncio.get_running_loop().time()

    def note(event) -> None:
        now = asyncio.get_running_loop().time() - began
        events.append((str(event.type), round(now, 2), event.data or {}))

    await assist_pipeline.async_pipeline_from_audio_stream(
        hass,
        context=Context(),
        event_callback=note,
        pipeline_id=pipeline.id,
        stt_metadata=stt.SpeechMetadata(
            language="en",
            format=stt.AudioFormats.WAV,
            codec=stt.AudioCodecs.PCM,
            bit_rate=stt.AudioBitRates.BITRATE_16,
            sample_rate=stt.AudioSampleRates.SAMPLERATE_16000,
            channel=stt.AudioChannels.CHANNEL_MONO,
        ),
        stt_stream=sound(recording),
        tts_audio_output="wav",
    )
    found["events"] = [(kind, at) for kind, at, _ in events]
    for kind, at, data in events:
        if kind == "stt-end":
            found["heard"], found["heard_at"] = data["stt_output"]["text"], at
        if kind == "intent-end":
            speech = data["intent_output"]["response"]["speech"]["plain"]["speech"]
            found["answered"] = speech
        if kind == "error":
            found.setdefault("errors", []).append(data)
    stream = tts.async_create_stream(
        hass, "tts.attune", language="en", options={"preferred_format": "wav"}
    )

    async def words():
        for word in ("The light ", "is on. ", "The door ", "is shut."):
            yield word

    stream.async_set_message_stream(words())
    found["said_bytes"] = sum([len(chunk) async for chunk in stream.async_stream_result()])
    found["llama_cpp"] = await by_llama_cpp(hass, http_port)
    await hass.async_stop()
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    given_folder, wyoming, http, given_recording = sys.argv[1:]
    outcome = asyncio.run(main(Path(given_folder), int(wyoming), int(http), Path(given_recording)))
    print("FOUND " + json.dumps(outcome))
