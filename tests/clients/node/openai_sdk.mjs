// The `openai` package: `node openai_sdk.mjs CLASS SCENARIO`, where CLASS is ws (Node's own) or websocket
// (the one for browsers, which sends its key as a subprotocol).
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { WebSocket } from "ws";

import { CALL, Inbox, key, LONG_STORY, microphone, play, url } from "./scenarios.mjs";

globalThis.WebSocket = WebSocket; // where a browser has it; older versions of Node have none

const classes = { ws: OpenAIRealtimeWS, websocket: OpenAIRealtimeWebSocket };

const weather = {
  type: "function",
  name: "weather",
  description: "The weather in a city.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const client = (apiKey) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

/** A session, and an inbox of what the server sends. */
function connect(apiKey = key) {
  const session = new classes[process.argv[2]]({ model: "gpt-realtime" }, client(apiKey));
  const inbox = new Inbox();
  session.on("event", (event) => inbox.push(event));
  session.on("error", (error) => inbox.fail(error));
  return { session, inbox };
}

async function greeted(apiKey) {
  const connected = connect(apiKey);
  await connected.inbox.until("session.created");
  return connected;
}

function ask(session, text) {
  const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  session.send({ type: "conversation.item.create", item });
  session.send({ type: "response.create" });
}

function speak(session) {
  for (const chunk of microphone()) {
    session.send({ type: "input_audio_buffer.append", audio: chunk.toString("base64") });
  }
}

const scenarios = {
  async secret() {
    const secret = await client(key).realtime.clientSecrets.create({
      session: { type: "realtime", output_modalities: ["text"], instructions: "[[say At your service.]]" },
    });
    const { session, inbox } = await greeted(secret.value);
    session.send({ type: "response.create" });
    const { text } = await inbox.until("response.output_text.done");
    await inbox.until("response.done");
    session.close();
    return { prefix: secret.value.slice(0, 3), text };
  },

  async refusal() {
    const { session, inbox } = connect();
    const closed = new Promise((resolve) => session.socket.addEventListener("close", resolve));
    const told = await inbox.until("error").catch((error) => error);
    const { code } = await closed;
    return { said: told.error?.code ?? told.message, code };
  },

  async text() {
    const { session, inbox } = await greeted();
    session.send({ type: "session.update", session: { type: "realtime", output_modalities: ["text"] } });
    ask(session, "Good morning");
    let text = "";
    session.on("response.output_text.delta", (event) => (text += event.delta));
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, text };
  },

  async voice() {
    const { session, inbox } = await greeted();
    let audioBytes = 0;
    session.on("response.output_audio.delta", (event) => {
      audioBytes += Buffer.from(event.delta, "base64").length;
    });
    speak(session);
    const heard = await inbox.until("conversation.item.input_audio_transcription.completed");
    const said = await inbox.until("response.output_audio_transcript.done");
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, heard: heard.transcript, said: said.transcript, audioBytes };
  },

  async tool() {
    const { session, inbox } = await greeted();
    session.send({
      type: "session.update",
      session: { type: "realtime", output_modalities: ["text"], tools: [weather] },
    });
    ask(session, CALL);
    const call = await inbox.until("response.function_call_arguments.done");
    await inbox.until("response.done");
    const output = `Rain in ${JSON.parse(call.arguments).city}`;
    session.send({
      type: "conversation.item.create",
      item: { type: "function_call_output", call_id: call.call_id, output },
    });
    session.send({ type: "response.create" });
    const { text } = await inbox.until("response.output_text.done");
    await inbox.until("response.done");
    session.close();
    return { called: call.name, text };
  },

  async interruption() {
    const { session, inbox } = await greeted();
    ask(session, LONG_STORY);
    const { item_id, content_index } = await inbox.until("response.output_audio.delta");
    speak(session);
    await inbox.until("input_audio_buffer.speech_started");
    session.send({ type: "conversation.item.truncate", item_id, content_index, audio_end_ms: 100 });
    const interrupted = await inbox.until("response.done");
    const truncated = await inbox.until("conversation.item.truncated");
    const next = await inbox.until("response.done");
    session.close();
    return {
      status: interrupted.response.status,
      reason: interrupted.response.status_details.reason,
      sameItem: truncated.item_id === item_id,
      keptMs: truncated.audio_end_ms,
      next: next.response.status,
      said: next.response.output[0].content[0].transcript,
    };
  },
};

await play(scenarios, process.argv[3]);
