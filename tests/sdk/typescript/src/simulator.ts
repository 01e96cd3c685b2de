// The simulator behind, or at, the server that is asked: it is told what to answer and asked what it saw.

import { readFileSync } from "node:fs";

const url = process.env["KEYPOOL_SDK_CONTROL_URL"];
if (url === undefined) throw new Error("set KEYPOOL_SDK_CONTROL_URL");

export interface Fault {
  kind: string;
  [field: string]: unknown;
}

export interface Window {
  requests?: number;
  fault: Fault;
}

async function command(name: string, body: unknown): Promise<void> {
  const answer = await fetch(`${url}/__sim/${name}`, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}

/** Replaces the faults of all keys. */
export function script(...windows: Window[]): Promise<void> {
  return command("faults", { faults: windows });
}

/** Replaces the faults of one key. */
export function scriptKey(key: string, ...windows: Window[]): Promise<void> {
  return command("faults", { key, faults: windows });
}

/** The text of all answers from now on. */
export function say(text: string): Promise<void> {
  return command("answer", { text });
}

/** Forgets everything that was told and counted. */
export async function reset(): Promise<void> {
  await command("faults", { faults: [] });
  await fetch(`${url}/__sim/faults`, { method: "DELETE" });
  await command("answer", {});
  await command("reset", {});
}

/** The bodies that reached the provider, the latest last. */
export async function bodies(): Promise<string[]> {
  const answer = await fetch(`${url}/__sim/requests`);
  const requests = (await answer.json()) as { method: string; body: string }[];
  return requests.filter((request) => request.method === "POST").map((request) => request.body);
}

/** Waits until the provider has seen a client leave. */
export async function sawTheClientLeave(): Promise<void> {
  for (let look = 0; look < 200; look += 1) {
    const answer = await fetch(`${url}/__sim/counters`);
    const counters = (await answer.json()) as { keys: Record<string, { cancelled: number }> };
    if (Object.values(counters.keys).some((key) => key.cancelled > 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the provider is still answering");
}

/** The APIs in which a provider can be told to answer. */
export type Api = "messages" | "chat" | "responses" | "gemini";

interface Call {
  plain: unknown;
  events: { type?: string }[];
}

const calls = JSON.parse(readFileSync(process.env["KEYPOOL_SDK_TOOL_CALL"]!, "utf8")) as Record<string, Call>;

/** The next answer is a call of the tool `weather` for Rome. */
export function callTheTool(api: Api, streamed: boolean): Promise<void> {
  const call = calls[api]!;
  const event = (data: { type?: string }) => {
    const line = `data: ${JSON.stringify(data)}`;
    if (api === "gemini") return `${line}\r\n\r\n`;
    return api === "chat" ? `${line}\n\n` : `event: ${data.type}\n${line}\n\n`;
  };
  const stream = call.events.map(event).join("") + (api === "chat" ? "data: [DONE]\n\n" : "");
  return script({
    requests: 1,
    fault: {
      kind: "verbatim",
      status: 200,
      headers: [["content-type", streamed ? "text/event-stream" : "application/json"]],
      body: streamed ? stream : JSON.stringify(call.plain),
    },
  });
}

/** How the APIs name the schema of an answer. */
export const SCHEMA = /"(json_schema|responseJsonSchema|responseSchema)"[^]*"city"/;

/** A picture of one pixel. */
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
