/** Replies that the server's own code made; `python -m tests.web.fixtures` writes them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Summary, Trace } from "../src/api/logs.ts";
import type { Mod } from "../src/api/mods.ts";

export interface Fixture {
  reply: Trace;
  events: { type: string; step: number; position: number; added: number[]; removed: number[] }[];
}

export function fixture(name: string): Fixture {
  const path = join(import.meta.dirname, "fixtures", `${name}.json`);
  return JSON.parse(readFileSync(path, "utf8")) as Fixture;
}

/** A mod as the server tells of it. */
export const mod = (name: string, more: Partial<Mod> = {}): Mod => ({
  name,
  description: `what ${name} does`,
  entry: `${name}:${name}`,
  digest: "abc",
  events: [],
  reach: 0,
  logits: false,
  confidence: false,
  on_error: "fail",
  deadline: null,
  created: 0,
  shared: false,
  built_in: false,
  set_aside: null,
  files: [{ path: `${name}.py`, size: 3, source: `def ${name}(event):\n    pass\n` }],
  ...more,
});

/** A request as the list tells of it. */
export const summary = (request_id: string, more: Partial<Summary> = {}): Summary => ({
  request_id,
  created_at: new Date().toISOString(),
  completed_at: null,
  latency: 0.5,
  time_to_first_token: 0.1,
  model: "demo",
  endpoint: "/v1/chat/completions",
  caller: "local",
  status: "done",
  finish_reason: "stop",
  level: "tokens",
  parent_id: "",
  mods: ["calm"],
  actions: [],
  tags: [],
  favourite: false,
  prompt_tokens: 3,
  output_tokens: 5,
  sampled_tokens: 3,
  forced_tokens: 2,
  erased_tokens: 1,
  prompt: `prompt of ${request_id}`,
  output: `<b>output of ${request_id}</b>`,
  ...more,
});
