// What the official OpenAI SDK must be able to do.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";

import OpenAI from "openai";

import * as simulator from "./simulator.js";
import { Wire, embeddingModel, isGateway, openai, openaiModel as model, providerApi, rejected } from "./target.js";

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "Say hello." }];
const ask = { model, messages };
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const tools: OpenAI.ChatCompletionTool[] = [{ type: "function", function: { name: "weather", parameters } }];
const responseTools: OpenAI.Responses.Tool[] = [{ type: "function", name: "weather", parameters, strict: true }];

beforeEach(simulator.reset);
afterEach(simulator.reset);

describe("answers", () => {
  test("a plain completion has text and usage", async () => {
    const completion = await openai().chat.completions.create(ask);
    assert.equal(completion.choices[0]?.finish_reason, "stop");
    assert.ok(completion.choices[0]?.message.content);
    const usage = completion.usage;
    assert.equal(usage?.total_tokens, (usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
  });

  test("a stream carries usage if it is asked for, and else none", async () => {
    for (const include_usage of [false, true]) {
      const stream = await openai().chat.completions.create({ ...ask, stream: true, stream_options: { include_usage } });
      const chunks: OpenAI.ChatCompletionChunk[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
      assert.ok(text);
      assert.equal(chunks.some((chunk) => chunk.usage), include_usage);
    }
  });

  test("the stream helper gathers the whole completion", async () => {
    const completion = await openai().chat.completions.stream(ask).finalChatCompletion();
    assert.equal(completion.choices[0]?.finish_reason, "stop");
    assert.ok(completion.choices[0]?.message.content);
  });

  test("a plain response has text and usage", async () => {
    const response = await openai().responses.create({ model, input: "Hello." });
    assert.equal(response.status, "completed");
    assert.ok(response.output_text);
    assert.ok((response.usage?.output_tokens ?? 0) > 0);
  });

  test("the response stream helper gathers the whole response", async () => {
    const stream = openai().responses.stream({ model, input: "Hello." });
    let text = "";
    stream.on("response.output_text.delta", (event) => (text += event.delta));
    const response = await stream.finalResponse();
    assert.ok(text);
    assert.equal(response.output_text, text);
  });

  test("texts are embedded in order", async () => {
    const answer = await openai().embeddings.create({ model: embeddingModel, input: ["one", "two"] });
    assert.deepEqual(answer.data.map((entry) => entry.index), [0, 1]);
    assert.equal(typeof answer.data[0]?.embedding[0], "number");
  });

  test("models are listed", async () => {
    const ids: string[] = [];
    for await (const listed of openai().models.list()) ids.push(listed.id);
    assert.ok(ids.length > 0);
  });

  test("a picture reaches the provider", async () => {
    const url = `data:image/png;base64,${simulator.PIXEL}`;
    await openai().chat.completions.create({
      model,
      messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }, { type: "text", text: "What?" }] }],
    });
    assert.ok((await simulator.bodies()).at(-1)?.includes(simulator.PIXEL));
    await openai().responses.create({
      model,
      input: [{ role: "user", content: [{ type: "input_image", image_url: url, detail: "auto" }] }],
    });
    assert.ok((await simulator.bodies()).at(-1)?.includes(simulator.PIXEL));
  });

  test("structured output is asked for and read", async () => {
    await simulator.say('{"city": "Rome"}');
    const format = { name: "place", strict: true, schema: parameters };
    const completion = await openai().chat.completions.parse({
      ...ask,
      response_format: { type: "json_schema", json_schema: format },
    });
    assert.deepEqual(JSON.parse(completion.choices[0]?.message.content ?? ""), { city: "Rome" });
    assert.match((await simulator.bodies()).at(-1) ?? "", simulator.SCHEMA);
    const response = await openai().responses.create({
      model,
      input: "Where?",
      text: { format: { type: "json_schema", ...format } },
    });
    assert.deepEqual(JSON.parse(response.output_text), { city: "Rome" });
    assert.match((await simulator.bodies()).at(-1) ?? "", simulator.SCHEMA);
  });
});

describe("tools", () => {
  test("a call comes back, and its result goes to the provider", async () => {
    await simulator.callTheTool(providerApi(model, "chat"), false);
    const completion = await openai().chat.completions.create({ ...ask, tools });
    const choice = completion.choices[0];
    assert.equal(choice?.finish_reason, "tool_calls");
    const call = choice.message.tool_calls?.[0];
    assert.ok(call?.type === "function");
    assert.equal(call.function.name, "weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Rome" });
    const result = { role: "tool", tool_call_id: call.id, content: "It is 21 degrees." } as const;
    const after = await openai().chat.completions.create({ model, tools, messages: [...messages, choice.message, result] });
    assert.equal(after.choices[0]?.finish_reason, "stop");
    const body = (await simulator.bodies()).at(-1) ?? "";
    assert.ok(body.includes("It is 21 degrees.") && body.includes(call.id), body);
  });

  test("a streamed call is put together", async () => {
    await simulator.callTheTool(providerApi(model, "chat"), true);
    const completion = await openai().chat.completions.stream({ ...ask, tools }).finalChatCompletion();
    const call = completion.choices[0]?.message.tool_calls?.[0];
    assert.ok(call?.type === "function");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Rome" });
  });

  test("a response calls a tool, plain and streamed, and takes its result", async () => {
    const api = providerApi(model, "responses");
    await simulator.callTheTool(api, false);
    const plain = await openai().responses.create({ model, input: "Weather?", tools: responseTools });
    await simulator.callTheTool(api, true);
    const streamed = await openai().responses.stream({ model, input: "Weather?", tools: responseTools }).finalResponse();
    for (const response of [plain, streamed]) {
      const call = response.output[0];
      assert.ok(call?.type === "function_call");
      assert.deepEqual([call.name, JSON.parse(call.arguments)], ["weather", { city: "Rome" }]);
    }
    const call = plain.output[0];
    assert.ok(call?.type === "function_call");
    await openai().responses.create({
      model,
      tools: responseTools,
      input: [
        { role: "user", content: "Weather?" },
        call,
        { type: "function_call_output", call_id: call.call_id, output: "It is 21 degrees." },
      ],
    });
    assert.ok((await simulator.bodies()).at(-1)?.includes("It is 21 degrees."));
  });
});

describe("cancellation", () => {
  test("the provider sees a client leave in the middle of a stream", async () => {
    await simulator.script({ fault: { kind: "slow-events", delayMs: 300 } });
    const stream = await openai().chat.completions.create({ ...ask, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    stream.controller.abort();
    await simulator.sawTheClientLeave();
  });

  test("the provider sees a client leave before an answer", async () => {
    await simulator.script({ fault: { kind: "slow-head", delayMs: 20_000 } });
    const abort = new AbortController();
    const answer = openai().responses.create({ model, input: "Hello." }, { signal: abort.signal });
    setTimeout(() => abort.abort(), 300);
    assert.ok((await rejected(answer)) instanceof OpenAI.APIUserAbortError);
    await simulator.sawTheClientLeave();
  });
});

describe("errors", () => {
  test("a wrong key is an authentication error", async () => {
    const wire = new Wire();
    const client = openai({ key: "sk-no-such-key", retries: 2, wire });
    assert.ok((await rejected(client.chat.completions.create(ask))) instanceof OpenAI.AuthenticationError);
    assert.equal(wire.requests, 1);
  });

  test("a request without messages is a bad request", async () => {
    const error = await rejected(openai().chat.completions.create({ ...ask, messages: [] }));
    assert.ok(error instanceof OpenAI.BadRequestError);
  });
});

describe("a simulator that is asked directly", { skip: isGateway }, () => {
  test("each status raises its own class", async () => {
    const classes = {
      401: OpenAI.AuthenticationError,
      403: OpenAI.PermissionDeniedError,
      404: OpenAI.NotFoundError,
      429: OpenAI.RateLimitError,
      500: OpenAI.InternalServerError,
    };
    for (const [status, expected] of Object.entries(classes)) {
      await simulator.script({ fault: { kind: "status", status: Number(status) } });
      assert.ok((await rejected(openai().chat.completions.create(ask))) instanceof expected, status);
    }
  });

  test("the SDK waits as it is told and tries again", async () => {
    await simulator.script({ requests: 1, fault: { kind: "rate-limited", retryAfter: "1" } });
    const wire = new Wire();
    const began = performance.now();
    await openai({ retries: 2, wire }).chat.completions.create(ask);
    assert.equal(wire.requests, 2);
    assert.ok(performance.now() - began >= 1000);
  });
});

describe("a gateway before the simulator", { skip: !isGateway }, () => {
  test("a limit that passes soon is waited for, and the client notices nothing", async () => {
    // Both keys meet it.
    await simulator.script({ requests: 2, fault: { kind: "rate-limited", retryAfter: "1" } });
    const wire = new Wire();
    const began = performance.now();
    await openai({ retries: 2, wire }).chat.completions.create(ask);
    assert.equal(wire.requests, 1);
    assert.ok(performance.now() - began >= 900);
  });

  test("a broken connection is cured by another key", async () => {
    await simulator.script({ requests: 1, fault: { kind: "reset-before-head" } });
    const wire = new Wire();
    await openai({ retries: 2, wire }).responses.create({ model, input: "Hello." });
    assert.equal(wire.requests, 1);
  });

  test("an error event within a stream breaks it", async () => {
    await simulator.script({ fault: { kind: "stream-error", afterEvents: 5 } });
    const stream = await openai().chat.completions.create({ ...ask, stream: true });
    const read = async () => {
      for await (const _ of stream);
    };
    assert.ok((await rejected(read())) instanceof OpenAI.APIError);
  });
});
