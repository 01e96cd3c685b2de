// Where the checks send their requests, and as whom: the variables that check.py of the Python checks reads, too.

import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

import type { Api } from "./simulator.js";

function variable(name: string, otherwise?: string): string {
  const value = process.env[`KEYPOOL_SDK_${name}`] ?? otherwise;
  if (value === undefined) throw new Error(`set KEYPOOL_SDK_${name}`);
  return value;
}

export const anthropicModel = variable("ANTHROPIC_MODEL", "claude-sonnet-4-6");
export const openaiModel = variable("OPENAI_MODEL", "gpt-4o");
export const geminiModel = variable("GEMINI_MODEL", "gemini-2.5-flash");
export const geminiEmbeddingModel = variable("GEMINI_EMBEDDING_MODEL", "gemini-embedding-001");
export const embeddingModel = variable("EMBEDDING_MODEL", "text-embedding-3-small");

/** Whether the server that is asked is a gateway before the simulator, rather than the simulator. */
export const isGateway = variable("GATEWAY", "") !== "";

/** The API in which the provider of a model is asked by a client of another or the same. */
export function providerApi(model: string, own: Api): Api {
  if (model.startsWith("anthropic,")) return "messages";
  if (model.startsWith("gemini,")) return "gemini";
  return model.startsWith("openai,") && own !== "responses" ? "chat" : own;
}

// The user's own credentials, addresses and proxies have no part in the checks.
for (const name of Object.keys(process.env)) {
  if (/^(ANTHROPIC|OPENAI|GOOGLE|GEMINI)_/.test(name) || /_proxy$/i.test(name)) delete process.env[name];
}

/** Counts the requests that a client sends. */
export class Wire {
  requests = 0;

  readonly fetch: typeof fetch = (input, init) => {
    this.requests += 1;
    return fetch(input, init);
  };
}

export interface Options {
  key?: string;
  retries?: number;
  wire?: Wire;
}

export function anthropic(options: Options = {}): Anthropic {
  return new Anthropic({
    apiKey: options.key ?? variable("ANTHROPIC_KEY"),
    baseURL: variable("ANTHROPIC_URL"),
    maxRetries: options.retries ?? 0,
    fetch: (options.wire ?? new Wire()).fetch,
  });
}

export function openai(options: Options = {}): OpenAI {
  return new OpenAI({
    apiKey: options.key ?? variable("OPENAI_KEY"),
    baseURL: variable("OPENAI_URL"),
    maxRetries: options.retries ?? 0,
    fetch: (options.wire ?? new Wire()).fetch,
  });
}

export function gemini(options: Options = {}): GoogleGenAI {
  return new GoogleGenAI({
    apiKey: options.key ?? variable("GEMINI_KEY"),
    httpOptions: { baseUrl: variable("GEMINI_URL") },
  });
}

export async function rejected(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it should have failed");
}
