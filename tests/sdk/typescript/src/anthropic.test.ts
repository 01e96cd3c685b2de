// What the official Anthropic SDK must be able to do.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";

import * as simulator from "./simulator.js";
import { Wire, anthropic, anthropicModel as model, isGateway, providerApi, rejected } from "./target.js";

const messages: Anthropic.MessageParam[] = [{ role: "user", content: "Say hello." }];
const ask = { model, max_tokens: 64, messages };
const api = providerApi(model, "messages");
const tools: Anthropic.Tool[] = [
  {
    name: "weather",
    description: "The weather in a city.",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

beforeEach(simulator.reset);
afterEach(simulator.reset);

describe("answers", () => {
  test("a plain message has text and usage", async () => {
    const message = await anthropic().messages.create(ask);
    assert.equal(message.type, "message");
    assert.equal(message.stop_reason, "end_turn");
    assert.ok(message.content[0]?.type === "text" && message.content[0].text);
    assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
  });

  test("a raw stream has its events in order", async () => {
    const kinds: string[] = [];
    for await (const event of await anthropic().messages.create({ ...ask, stream: true })) kinds.push(event.type);
    assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
    assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  });

  test("the stream helper gathers the whole message", async () => {
    const stream = anthropic().messages.stream(ask);
    let text = "";
    stream.on("text", (piece) => (text += piece));
    const message = await stream.finalMessage();
    assert.ok(message.content[0]?.type === "text");
    assert.equal(message.content[0].text, text);
    assert.ok(message.usage.output_tokens > 1);
  });

  test("tokens are counted without a model run", async () => {
    const count = await anthropic().messages.countTokens({ model, messages });
    assert.ok(count.input_tokens > 0);
  });

  test("models are listed", async () => {
    const ids: string[] = [];
    for await (const listed of anthropic().models.list()) ids.push(listed.id);
    assert.ok(ids.length > 0);
  });

  test("a picture reaches the provider", async () => {
    const source = { type: "base64", media_type: "image/png", data: simulator.PIXEL } as const;
    await anthropic().messages.create({
      ...ask,
      messages: [{ role: "user", content: [{ type: "image", source }, { type: "text", text: "What is it?" }] }],
    });
    assert.ok((await simulator.bodies()).at(-1)?.includes(simulator.PIXEL));
  });

  test("structured output is asked for and read", async () => {
    await simulator.say('{"city": "Rome"}');
    const format = jsonSchemaOutputFormat({
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    });
    const message = await anthropic().messages.parse({ ...ask, output_config: { format } });
    assert.deepEqual(message.parsed_output, { city: "Rome" });
    assert.match((await simulator.bodies()).at(-1) ?? "", simulator.SCHEMA);
  });
});

describe("tools", () => {
  test("a call comes back, and its result goes to the provider", async () => {
    await simulator.callTheTool(api, false);
    const call = await anthropic().messages.create({ ...ask, tools });
    assert.equal(call.stop_reason, "tool_use");
    const block = call.content.find((block) => block.type === "tool_use");
    assert.ok(block);
    assert.deepEqual([block.name, block.input], ["weather", { city: "Rome" }]);
    const result = { type: "tool_result", tool_use_id: block.id, content: "It is 21 degrees." } as const;
    const message = await anthropic().messages.create({
      ...ask,
      tools,
      messages: [...messages, { role: "assistant", content: call.content }, { role: "user", content: [result] }],
    });
    assert.equal(message.stop_reason, "end_turn");
    const body = (await simulator.bodies()).at(-1) ?? "";
    assert.ok(body.includes("It is 21 degrees.") && body.includes(block.id), body);
  });

  test("a streamed call is put together", async () => {
    await simulator.callTheTool(api, true);
    const message = await anthropic().messages.stream({ ...ask, tools }).finalMessage();
    const block = message.content.find((block) => block.type === "tool_use");
    assert.deepEqual([block?.name, block?.input], ["weather", { city: "Rome" }]);
    assert.equal(message.stop_reason, "tool_use");
  });
});

describe("cancellation", () => {
  test("the provider sees a client leave in the middle of a stream", async () => {
    await simulator.script({ fault: { kind: "slow-events", delayMs: 300 } });
    const stream = await anthropic().messages.create({ ...ask, stream: true });
    for await (const event of stream) {
      if (event.type === "content_block_delta") break;
    }
    stream.controller.abort();
    await simulator.sawTheClientLeave();
  });

  test("the provider sees a client leave before an answer", async () => {
    await simulator.script({ fault: { kind: "slow-head", delayMs: 20_000 } });
    const abort = new AbortController();
    const answer = anthropic().messages.create(ask, { signal: abort.signal });
    setTimeout(() => abort.abort(), 300);
    assert.ok((await rejected(answer)) instanceof Anthropic.APIUserAbortError);
    await simulator.sawTheClientLeave();
  });
});

describe("errors", () => {
  test("a wrong key is an authentication error", async () => {
    const wire = new Wire();
    const client = anthropic({ key: "sk-ant-no-such-key", retries: 2, wire });
    assert.ok((await rejected(client.messages.create(ask))) instanceof Anthropic.AuthenticationError);
    assert.equal(wire.requests, 1);
  });

  test("a request without messages is a bad request", async () => {
    const error = await rejected(anthropic().messages.create({ ...ask, messages: [] }));
    assert.ok(error instanceof Anthropic.BadRequestError);
  });
});

describe("a simulator that is asked directly", { skip: isGateway }, () => {
  test("each status raises its own class", async () => {
    const classes = {
      401: Anthropic.AuthenticationError,
      403: Anthropic.PermissionDeniedError,
      404: Anthropic.NotFoundError,
      429: Anthropic.RateLimitError,
      500: Anthropic.InternalServerError,
    };
    for (const [status, expected] of Object.entries(classes)) {
      await simulator.script({ fault: { kind: "status", status: Number(status) } });
      const error = await rejected(anthropic().messages.create(ask));
      assert.ok(error instanceof expected, status);
    }
  });

  test("the SDK waits as it is told and tries again", async () => {
    await simulator.script({ requests: 1, fault: { kind: "rate-limited", retryAfter: "1" } });
    const wire = new Wire();
    const began = performance.now();
    await anthropic({ retries: 2, wire }).messages.create(ask);
    assert.equal(wire.requests, 2);
    assert.ok(performance.now() - began >= 1000);
  });

  test("an error event breaks the stream", async () => {
    await simulator.script({ fault: { kind: "stream-error", afterEvents: 5 } });
    const error = await rejected(anthropic().messages.stream(ask).finalMessage());
    assert.ok(error instanceof Anthropic.APIError);
  });
});

describe("a gateway before the simulator", { skip: !isGateway }, () => {
  test("a limit that passes soon is waited for, and the client notices nothing", async () => {
    // Both keys meet it.
    await simulator.script({ requests: 2, fault: { kind: "rate-limited", retryAfter: "1" } });
    const wire = new Wire();
    const began = performance.now();
    await anthropic({ retries: 2, wire }).messages.create(ask);
    assert.equal(wire.requests, 1);
    assert.ok(performance.now() - began >= 900);
  });

  test("a broken connection is cured by another key", async () => {
    await simulator.script({ requests: 1, fault: { kind: "reset-before-head" } });
    const wire = new Wire();
    await anthropic({ retries: 2, wire }).messages.create(ask);
    assert.equal(wire.requests, 1);
  });

  test("an error that must be told comes as the SDK's own class", async () => {
    await simulator.script({ fault: { kind: "status", status: 404 } });
    assert.ok((await rejected(anthropic().messages.create(ask))) instanceof Anthropic.NotFoundError);
  });

  test("an error event within a stream breaks it", async () => {
    await simulator.script({ fault: { kind: "stream-error", afterEvents: 5 } });
    const error = await rejected(anthropic().messages.stream(ask).finalMessage());
    assert.ok(error instanceof Anthropic.APIError);
  });
});
