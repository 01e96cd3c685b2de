// What the official Google SDK must be able to do. It does not try again by itself: what is cured, the gateway cures.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";

import { ApiError, type Content, type FunctionDeclaration, Type } from "@google/genai";

import * as simulator from "./simulator.js";
import { gemini, geminiEmbeddingModel, geminiModel as model, isGateway, providerApi, rejected } from "./target.js";

const api = providerApi(model, "gemini");
const contents = "Say hello.";
const weather: FunctionDeclaration = {
  name: "weather",
  description: "The weather in a city.",
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] },
};
const config = { tools: [{ functionDeclarations: [weather] }] };

beforeEach(simulator.reset);
afterEach(simulator.reset);

describe("answers", () => {
  test("a plain answer has text and usage", async () => {
    const answer = await gemini().models.generateContent({ model, contents });
    assert.ok(answer.text);
    assert.equal(answer.candidates?.[0]?.finishReason, "STOP");
    assert.ok((answer.usageMetadata?.promptTokenCount ?? 0) > 0);
  });

  test("a stream has text and ends with a reason", async () => {
    let text = "";
    let reason: string | undefined;
    for await (const chunk of await gemini().models.generateContentStream({ model, contents })) {
      text += chunk.text ?? "";
      reason = chunk.candidates?.[0]?.finishReason;
    }
    assert.ok(text);
    assert.equal(reason, "STOP");
  });

  test("tokens are counted", async () => {
    const count = await gemini().models.countTokens({ model, contents });
    assert.ok((count.totalTokens ?? 0) > 0);
  });

  test("texts are embedded", async () => {
    const answer = await gemini().models.embedContent({ model: geminiEmbeddingModel, contents: ["one", "two"] });
    assert.equal(answer.embeddings?.length, 2);
    assert.equal(typeof answer.embeddings[0]?.values?.[0], "number");
  });

  test("a picture reaches the provider", async () => {
    const picture = { inlineData: { mimeType: "image/png", data: simulator.PIXEL } };
    await gemini().models.generateContent({ model, contents: [{ role: "user", parts: [picture, { text: "What?" }] }] });
    assert.ok((await simulator.bodies()).at(-1)?.includes(simulator.PIXEL));
  });

  test("structured output is asked for and read", async () => {
    await simulator.say('{"city": "Rome"}');
    const answer = await gemini().models.generateContent({
      model,
      contents,
      config: { responseMimeType: "application/json", responseJsonSchema: { type: "object", properties: { city: {} } } },
    });
    assert.deepEqual(JSON.parse(answer.text ?? ""), { city: "Rome" });
    assert.match((await simulator.bodies()).at(-1) ?? "", simulator.SCHEMA);
  });
});

describe("tools", () => {
  test("a call comes back, and its result goes to the provider", async () => {
    await simulator.callTheTool(api, false);
    const answer = await gemini().models.generateContent({ model, contents, config });
    assert.deepEqual(
      answer.functionCalls?.map((call) => [call.name, call.args]),
      [["weather", { city: "Rome" }]],
    );
    const history: Content[] = [
      { role: "user", parts: [{ text: contents }] },
      answer.candidates![0]!.content!,
      { role: "user", parts: [{ functionResponse: { name: "weather", response: { output: "It is 21 degrees." } } }] },
    ];
    const after = await gemini().models.generateContent({ model, contents: history, config });
    assert.ok(after.text);
    assert.ok((await simulator.bodies()).at(-1)?.includes("It is 21 degrees."));
  });

  test("a streamed call comes whole", async () => {
    await simulator.callTheTool(api, true);
    const calls = [];
    for await (const chunk of await gemini().models.generateContentStream({ model, contents, config })) {
      calls.push(...(chunk.functionCalls ?? []));
    }
    assert.deepEqual(
      calls.map((call) => call.args),
      [{ city: "Rome" }],
    );
  });
});

describe("cancellation", () => {
  test("the provider sees a client leave in the middle of a stream", async () => {
    await simulator.script({ fault: { kind: "slow-events", delayMs: 300 } });
    const abort = new AbortController();
    const ask = { model, contents, config: { abortSignal: abort.signal } };
    const read = async () => {
      for await (const chunk of await gemini().models.generateContentStream(ask)) {
        if (chunk.text) abort.abort();
      }
    };
    await rejected(read());
    await simulator.sawTheClientLeave();
  });
});

describe("errors", () => {
  test("a wrong key is told by its status", async () => {
    const error = await rejected(gemini({ key: "AIza-no-such-key" }).models.generateContent({ model, contents }));
    assert.ok(error instanceof ApiError);
    // Google's own API says 400 to a key that it does not know.
    assert.equal(error.status, isGateway ? 401 : 400);
  });

  test("a request that no model can serve is a bad request", async () => {
    const ask = { model, contents, config: { maxOutputTokens: -1 } };
    const error = await rejected(gemini().models.generateContent(ask));
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 400);
  });

  test("a limit is told by its status", { skip: isGateway }, async () => {
    await simulator.script({ fault: { kind: "rate-limited" } });
    const error = await rejected(gemini().models.generateContent({ model, contents }));
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 429);
  });
});

describe("a gateway before the simulator", { skip: !isGateway }, () => {
  test("a broken connection is cured by another key", async () => {
    await simulator.script({ requests: 1, fault: { kind: "reset-before-head" } });
    assert.ok((await gemini().models.generateContent({ model, contents })).text);
  });

  test("an overload is cured by another key", async () => {
    await simulator.script({ requests: 1, fault: { kind: "status", status: 503 } });
    assert.ok((await gemini().models.generateContent({ model, contents })).text);
  });
});
