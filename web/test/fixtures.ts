/** Replies that the server's own code made; `python -m tests.web.fixtures` writes them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Trace } from "../src/api/logs.ts";
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
