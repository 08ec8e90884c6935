"""Runs inside Home Assistant's own Python: sets its wyoming integration up by the config flow, and
runs an Assist pipeline with a recording. `drive.py FOLDER PORT RECORDING.raw` prints JSON.

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


async def main(folder: Path, port: int, recording: Path) -> dict:
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
    await hass.async_stop()
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    given_folder, given_port, given_recording = sys.argv[1:]
    outcome = asyncio.run(main(Path(given_folder), int(given_port), Path(given_recording)))
    print("FOUND " + json.dumps(outcome))
