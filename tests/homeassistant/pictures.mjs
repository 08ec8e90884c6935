// Makes a new Home Assistant a home with Attune as its assistant, and takes pictures of its page.
// `node pictures.mjs ADDRESS WYOMING_PORT FOLDER` writes PNGs into FOLDER.

import { chromium } from "playwright-core";

const [address, wyoming, folder] = process.argv.slice(2);
const FLOW = "config/config_entries/flow";
const FLAGS =
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync";

async function post(path, body) {
  const response = await fetch(address + path, { method: "POST", body });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

// What the page keeps of a user who has logged in: here of the first one, who is new.
async function user() {
  const client_id = `${address}/`;
  const person = { name: "Ada", username: "ada", password: "lovelace", language: "en", client_id };
  const { auth_code } = await post("/api/onboarding/users", JSON.stringify(person));
  const login = { client_id, code: auth_code, grant_type: "authorization_code" };
  const tokens = await post("/auth/token", new URLSearchParams(login));
  const expires = Date.now() + 1000 * tokens.expires_in;
  return { ...tokens, hassUrl: address, clientId: client_id, expires };
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: FLAGS.split(" "),
});
const page = await browser.newPage({
  viewport: { width: 640, height: 400 },
  deviceScaleFactor: 2,
  reducedMotion: "reduce",
});
page.setDefaultTimeout(120_000);

async function open(path, height) {
  await page.setViewportSize({ width: 640, height });
  await page.goto(address + path);
}

// `ask("callApi", …)` and `ask("callWS", …)` are the page's own ways to ask Home Assistant.
const ask = (way, ...what) =>
  page.evaluate(
    ([way, what]) => document.querySelector("home-assistant").hass[way](...what),
    [way, what],
  );

const until = (test, what) =>
  page.waitForFunction(`(hass => hass && ${test})(document.querySelector("home-assistant")?.hass)`);

const shown = (text) => page.getByText(text).last().waitFor();

async function take(name, clip) {
  await page.waitForTimeout(1500); // until nothing moves
  await page.screenshot({ path: `${folder}/${name}.png`, clip, caret: "hide" });
}

async function addAttune() {
  const { flow_id } = await ask("callApi", "POST", FLOW, { handler: "wyoming" });
  const server = { host: "127.0.0.1", port: Number(wyoming) };
  await ask("callApi", "POST", `${FLOW}/${flow_id}`, server);
  await until(`["stt", "tts", "conversation"].every((kind) => hass.states[kind + ".attune"])`);
  const pipeline = await ask("callWS", {
    type: "assist_pipeline/pipeline/create",
    name: "Attune",
    language: "en",
    conversation_engine: "conversation.attune",
    conversation_language: "en",
    stt_engine: "stt.attune",
    stt_language: "en",
    tts_engine: "tts.attune",
    tts_language: "en",
    tts_voice: "hibari",
    wake_word_entity: null,
    wake_word_id: null,
    prefer_local_intents: false,
  });
  const preferred = { type: "assist_pipeline/pipeline/set_preferred", pipeline_id: pipeline.id };
  await ask("callWS", preferred);
}

const move = (entity_id, area_id) =>
  ask("callWS", { type: "config/entity_registry/update", entity_id, area_id });

const tokens = JSON.stringify(await user());
await page.addInitScript((kept) => localStorage.setItem("hassTokens", kept), tokens);
await open("/light", 400);
await until(`hass.config?.state === "RUNNING"`);
await move("light.kitchen_light", "kitchen");
await move("light.bedroom_lamp", "bedroom");
await addAttune();

await open("/config/integrations/integration/wyoming", 400);
await shown("attune");
await take("home-assistant-integration", { x: 0, y: 0, width: 640, height: 370 });

await open("/config/voice-assistants/assistants", 1200);
await page.getByText("Attune", { exact: true }).click();
await shown("comes with Attune");
await take("home-assistant-assistant", await page.locator("dialog[open]").boundingBox());

await open("/light", 992);
await shown("Bedroom Lamp");
await page.keyboard.press("a");
await shown("How can I assist?");
for (const [request, reply] of [
  ["Turn on the kitchen light", "light is on."],
  ["Set a timer for ten minutes", "Timer set for 10 minutes."],
]) {
  await page.keyboard.type(request);
  await page.keyboard.press("Enter");
  await shown(reply);
}
await until(`hass.states["light.kitchen_light"].state === "on"`);
await take("home-assistant-assist", { x: 0, y: 0, width: 640, height: 800 });
await browser.close();
