// A limit that lasts. Leaves the gateway's keys resting, so these checks are the last ones.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import * as simulator from "./simulator.js";
import { Wire, anthropic, anthropicModel, openai, openaiModel, rejected } from "./target.js";

const messages = [{ role: "user" as const, content: "Say hello." }];

// An SDK would sleep for as long as it is told, twice.
test("a limit that lasts longer than anybody waits fails at once, though a retry-after is told", async () => {
  await simulator.script({ fault: { kind: "rate-limited", retryAfter: "90" } });
  const began = performance.now();
  const wires = [new Wire(), new Wire()] as const;
  const errors = [
    await rejected(anthropic({ retries: 2, wire: wires[0] }).messages.create({ model: anthropicModel, max_tokens: 64, messages })),
    await rejected(openai({ retries: 2, wire: wires[1] }).chat.completions.create({ model: openaiModel, messages })),
  ];
  await simulator.reset();
  assert.ok(errors[0] instanceof Anthropic.RateLimitError, String(errors[0]));
  assert.ok(errors[1] instanceof OpenAI.RateLimitError, String(errors[1]));
  for (const error of [errors[0], errors[1]]) {
    assert.equal(error.headers?.get("x-should-retry"), "false");
    assert.ok(Number(error.headers?.get("retry-after")) > 60);
  }
  assert.deepEqual(wires.map((wire) => wire.requests), [1, 1]);
  assert.ok(performance.now() - began < 30_000);
});
