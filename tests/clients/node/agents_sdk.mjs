// The `@openai/agents-realtime` package over WebSocket: `node agents_sdk.mjs SCENARIO`.
import { hostedMcpTool } from "@openai/agents-core";
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

import { CALL, Inbox, key, LONG_STORY, microphone, play, url } from "./scenarios.mjs";

/** A connected session of an agent, and an inbox of what the server sends. */
async function connect(config = {}, tools = []) {
  const agent = new RealtimeAgent({ name: "Greeter", instructions: "Be brief.", tools });
  const transport = new OpenAIRealtimeWebSocket({
    url: `${url.replace("https:", "wss:")}/v1/realtime?model=gpt-realtime`,
  });
  const session = new RealtimeSession(agent, { transport, model: "gpt-realtime", config });
  const inbox = new Inbox();
  session.on("transport_event", (event) => inbox.push(event));
  session.on("error", ({ error }) => inbox.fail(error instanceof Error ? error : new Error(JSON.stringify(error))));
  await session.connect({ apiKey: key });
  return { session, inbox };
}

function speak(session) {
  for (const chunk of microphone()) session.sendAudio(new Uint8Array(chunk).buffer);
}

/** What the agent remembers: role and words of each message, name and output of each call. */
function remembered(session) {
  return session.history.map((item) =>
    item.type === "message"
      ? [item.role, item.content.map((part) => part.text ?? part.transcript).join(" ")]
      : [item.name, item.output],
  );
}

const scenarios = {
  async text() {
    const { session, inbox } = await connect({ outputModalities: ["text"] });
    session.sendMessage("Good morning");
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, history: remembered(session) };
  },

  async voice() {
    const { session, inbox } = await connect();
    let audioBytes = 0;
    session.on("audio", (event) => (audioBytes += event.data.byteLength));
    speak(session);
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, history: remembered(session), audioBytes };
  },

  async tool() {
    const weather = tool({
      name: "weather",
      description: "The weather in a city.",
      parameters: z.object({ city: z.string() }),
      execute: async ({ city }) => `Rain in ${city}`,
    });
    const { session, inbox } = await connect({ outputModalities: ["text"] }, [weather]);
    session.sendMessage(CALL);
    await inbox.until("response.done");
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, history: remembered(session) };
  },

  async mcp() {
    const guarded = hostedMcpTool({
      serverLabel: "lab",
      serverUrl: process.env.PARLEY_MCP,
      allowedTools: ["add", "echo"],
      requireApproval: { never: { toolNames: ["add"] }, always: { toolNames: ["echo"] } },
    });
    const { session, inbox } = await connect({ outputModalities: ["text"] }, [guarded]);
    const seen = { tools: [], asked: [], called: [], answers: [] };
    session.on("mcp_tools_changed", (tools) => (seen.tools = tools.map((each) => each.name).sort()));
    session.on("mcp_tool_call_completed", (_, __, call) => seen.called.push([call.name, call.output]));
    let agrees = true;
    session.on("tool_approval_requested", (_, __, { approvalItem }) => {
      seen.asked.push(approvalItem.rawItem.name);
      void (agrees ? session.approve(approvalItem) : session.reject(approvalItem));
      agrees = false;
    });
    await inbox.until("mcp_list_tools.completed");
    // After each call the SDK asks for a response by itself, although the answer is there by then.
    for (const [text, responses] of [
      ['[[call add {"a": 1, "b": 2}]]', 2],
      ['[[call echo {"text": "hi"}]]', 3],
      ['[[call echo {"text": "hi"}]]', 2],
      ["Good morning", 1],
    ]) {
      session.sendMessage(text);
      for (let count = 0; count < responses; count += 1) {
        const { response } = await inbox.until("response.done");
        for (const item of response.output) if (item.type === "message") seen.answers.push(item.content[0].text);
      }
    }
    session.close();
    return seen;
  },

  async stop() {
    const { session, inbox } = await connect();
    session.sendMessage(LONG_STORY);
    await inbox.until("response.output_audio.delta");
    session.interrupt();
    const cut = await inbox.until("response.done");
    await inbox.until("conversation.item.truncated");
    session.sendMessage("Good morning");
    const next = await inbox.until("response.done");
    session.close();
    const { status, status_details } = cut.response;
    return { status, reason: status_details.reason, next: next.response.status, history: remembered(session) };
  },

  async correction() {
    const { session, inbox } = await connect({ outputModalities: ["text"] });
    session.sendMessage("Good mourning");
    await inbox.until("response.done");
    session.updateHistory(([question, answer]) => [
      { ...question, content: [{ type: "input_text", text: "Good morning" }] },
      answer,
    ]);
    await inbox.until("conversation.item.done");
    session.sendMessage("Again");
    const { response } = await inbox.until("response.done");
    session.close();
    return { status: response.status, history: remembered(session) };
  },

  async interruption() {
    const { session, inbox } = await connect();
    let interrupted = 0;
    session.on("audio_interrupted", () => (interrupted += 1));
    session.sendMessage(LONG_STORY);
    await inbox.until("response.output_audio.delta");
    speak(session);
    const cut = await inbox.until("response.done");
    const truncated = await inbox.until("conversation.item.truncated");
    const next = await inbox.until("response.done");
    session.close();
    return {
      status: cut.response.status,
      reason: cut.response.status_details.reason,
      interrupted,
      sameItem: truncated.item_id === cut.response.output[0].id,
      keptMs: truncated.audio_end_ms,
      next: next.response.status,
      history: remembered(session),
    };
  },
};

await play(scenarios, process.argv[2]);
