"""Runs in an environment with the package openai: uses all that Attune offers through it.
`drive_openai.py BASE_URL` prints JSON."""

import asyncio
import base64
import json
import sys

import openai
from openai import AsyncOpenAI, OpenAI

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
REQUEST = "Add bread and butter to my shopping list."


def chat(client: OpenAI) -> dict:
    whole = client.chat.completions.create(model="gpt-4o", messages=CAPITAL)
    pieces = client.chat.completions.create(
        model="gpt-4o", messages=CAPITAL, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(pieces)
    tools = [{"type": "function", "function": {"name": "turn_on", "parameters": {}}}]
    with_tools = client.chat.completions.create(model="x", messages=CAPITAL, tools=tools)
    return {
        "whole": whole.choices[0].message.content,
        "tokens": whole.usage.total_tokens,
        "streamed": "".join(one.choices[0].delta.content or "" for one in chunks if one.choices),
        "streamed_tokens": chunks[-1].usage.total_tokens,
        "with_tools": with_tools.choices[0].message.content,
    }


def sound(client: OpenAI) -> dict:
    audio = client.audio
    wav = audio.speech.create(
        model="tts-1", voice="alloy", input=REQUEST, response_format="wav"
    ).content
    file = ("said.wav", wav)
    hear = audio.transcriptions.create
    verbose = hear(model="whisper-1", file=file, response_format="verbose_json")
    streamed = list(hear(model="whisper-1", file=file, stream=True))
    with audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=REQUEST
    ) as answer:
        mp3_bytes = sum(len(piece) for piece in answer.iter_bytes())
    data = base64.b64encode(wav).decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    asked = client.chat.completions.create(
        model="attune", messages=[{"role": "user", "content": [part]}]
    )
    return {
        "heard": hear(model="whisper-1", file=file).text,
        "srt": hear(model="whisper-1", file=file, response_format="srt"),
        "segments": [one.text for one in verbose.segments],
        "streamed": streamed[-1].text,
        "mp3_bytes": mp3_bytes,
        "heard_in_chat": asked.choices[0].message.heard,
        "answered": asked.choices[0].message.content,
        "wav": data,
    }


def errors(client: OpenAI) -> list[str]:
    told = []
    for wrong in (
        lambda: client.models.retrieve("none"),
        lambda: client.chat.completions.create(model="x", messages=[]),
        lambda: client.chat.completions.create(
            model="x", messages=[{"role": "user", "content": "word " * 5000}]
        ),
        lambda: client.audio.transcriptions.create(model="x", file=("x.wav", b"nonsense")),
    ):
        try:
            wrong()
            told.append("none")
        except openai.APIStatusError as error:
            told.append(f"{type(error).__name__} {error.code}")
    return told


def jobs(client: OpenAI) -> dict:
    job = client.fine_tuning.jobs.create(model="attune", training_file="none")
    listed = [one.id for one in client.fine_tuning.jobs.list()]
    events = [one.message for one in client.fine_tuning.jobs.list_events(job.id)]
    checkpoints = [one.id for one in client.fine_tuning.jobs.checkpoints.list(job.id)]
    return {
        "status": job.status,
        "error": job.error.message if job.error else None,
        "listed": job.id in listed,
        "events": len(events),
        "checkpoints": len(checkpoints),
    }


async def at_once(base_url: str) -> list[str]:
    client = AsyncOpenAI(base_url=base_url, api_key="any")
    asked = (
        client.chat.completions.create(model="x", messages=CAPITAL, max_tokens=12) for _ in range(8)
    )
    answers = [one.choices[0].message.content for one in await asyncio.gather(*asked)]
    stream = await client.chat.completions.create(model="x", messages=CAPITAL, stream=True)
    async for _ in stream:
        break
    await stream.close()
    return answers


async def realtime(base_url: str, wav: bytes) -> dict:
    pcm = wav[44:]
    client = AsyncOpenAI(base_url=base_url, api_key="any")
    found: dict = {"kinds": [], "sound_bytes": 0}
    async with client.realtime.connect(model="attune") as connection:

        async def talk() -> None:
            said = bytes(24000) + pcm + bytes(96000)
            for start in range(0, len(said), 4800):
                piece = base64.b64encode(said[start : start + 4800]).decode()
                await connection.input_audio_buffer.append(audio=piece)
                await asyncio.sleep(0.1)

        talking = asyncio.create_task(talk())
        async for event in connection:
            found["kinds"].append(event.type)
            if event.type == "conversation.item.input_audio_transcription.completed":
                found["heard"] = event.transcript
            if event.type == "response.output_audio.delta":
                found["sound_bytes"] += len(base64.b64decode(event.delta))
            if event.type == "response.done":
                found["status"] = event.response.status
                break
        talking.cancel()
        text = {"type": "input_text", "text": CAPITAL[0]["content"]}
        item = {"type": "message", "role": "user", "content": [text]}
        await connection.conversation.item.create(item=item)
        await connection.response.create(response={"output_modalities": ["text"]})
        async for event in connection:
            if event.type == "response.output_text.done":
                found["text"] = event.text
            if event.type == "response.done":
                break
    return found


def main(base_url: str) -> None:
    client = OpenAI(base_url=base_url, api_key="any")
    found = {
        "version": openai.__version__,
        "models": [one.id for one in client.models.list()],
        "chat": chat(client),
        "sound": sound(client),
        "errors": errors(client),
        "jobs": jobs(client),
        "at_once": asyncio.run(at_once(base_url)),
    }
    wav = base64.b64decode(found["sound"].pop("wav"))
    found["realtime"] = asyncio.run(realtime(base_url, wav))
    print("FOUND " + json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
