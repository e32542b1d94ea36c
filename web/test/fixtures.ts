/** Replies that the server's own code made; `python -m tests.web.fixtures` writes them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Trace } from "../src/api/logs.ts";

export interface Fixture {
  reply: Trace;
  events: { type: string; step: number; position: number; added: number[]; removed: number[] }[];
}

export function fixture(name: string): Fixture {
  const path = join(import.meta.dirname, "fixtures", `${name}.json`);
  return JSON.parse(readFileSync(path, "utf8")) as Fixture;
}
