// Runs beside the npm package openai: uses what Attune offers through it, but for realtime, which that
// package speaks over TLS only.
// `node drive_openai.mjs BASE_URL` prints JSON.

import OpenAI, { toFile } from "openai";

const CAPITAL = [{ role: "user", content: "What is the capital of France?" }];
const REQUEST = "Add bread and butter to my shopping list.";

async function chat(client) {
  const whole = await client.chat.completions.create({ model: "gpt-4o", messages: CAPITAL });
  const stream = await client.chat.completions.create({
    model: "gpt-4o",
    messages: CAPITAL,
    stream: true,
    stream_options: { include_usage: true },
  });
  let streamed = "";
  let tokens = 0;
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    tokens = chunk.usage?.total_tokens ?? tokens;
  }
  return {
    whole: whole.choices[0].message.content,
    tokens: whole.usage.total_tokens,
    streamed,
    streamed_tokens: tokens,
  };
}

async function sound(client) {
  const said = await client.audio.speech.create({
    model: "tts-1",
    voice: "alloy",
    input: REQUEST,
    response_format: "wav",
  });
  const wav = Buffer.from(await said.arrayBuffer());
  const file = () => toFile(wav, "said.wav");
  const heard = await client.audio.transcriptions.create({ model: "whisper-1", file: await file() });
  const verbose = await client.audio.transcriptions.create({
    model: "whisper-1",
    file: await file(),
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
  });
  const events = await client.audio.transcriptions.create({
    model: "whisper-1",
    file: await file(),
    stream: true,
  });
  let streamed = "";
  for await (const event of events) {
    if (event.type === "transcript.text.done") streamed = event.text;
  }
  return { heard: heard.text, segments: verbose.segments.map((one) => one.text), streamed };
}

async function errors(client) {
  const told = [];
  for (const wrong of [
    () => client.models.retrieve("none"),
    () => client.chat.completions.create({ model: "x", messages: [] }),
    async () =>
      client.audio.transcriptions.create({
        model: "x",
        file: await toFile(Buffer.from("nonsense"), "x.wav"),
      }),
  ]) {
    try {
      await wrong();
      told.push("none");
    } catch (error) {
      told.push(`${error.constructor.name} ${error.code}`);
    }
  }
  return told;
}

async function jobs(client) {
  const job = await client.fineTuning.jobs.create({ model: "attune", training_file: "none" });
  const listed = [];
  for await (const one of client.fineTuning.jobs.list()) listed.push(one.id);
  return { status: job.status, listed: listed.includes(job.id) };
}

async function atOnce(client) {
  const asked = Array.from({ length: 8 }, () =>
    client.chat.completions.create({ model: "x", messages: CAPITAL, max_tokens: 12 }),
  );
  return (await Promise.all(asked)).map((one) => one.choices[0].message.content);
}

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any" });
const models = [];
for await (const one of client.models.list()) models.push(one.id);
const found = {
  models,
  chat: await chat(client),
  sound: await sound(client),
  errors: await errors(client),
  jobs: await jobs(client),
  at_once: await atOnce(client),
};
console.log(`FOUND ${JSON.stringify(found)}`);
