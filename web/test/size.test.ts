/** How much work ten thousand tokens are. Nothing is timed here that could fail on a busy machine:
 * the numbers are printed, and what is tested is how much is done. */

import { expect, it } from "vitest";
import type { Trace } from "../src/api/logs.ts";
import { cellsOf } from "../src/trace/cells.ts";
import { itemsOf } from "../src/trace/items.ts";
import { linesOf } from "../src/trace/layout.ts";
import { tell } from "../src/trace/telling.ts";

const SIZE = 10_000;
const fill = <T>(of: (n: number) => T) => Array.from({ length: SIZE }, (_, n) => of(n));

it("a trace of ten thousand tokens is told, laid out, and cut into lines", () => {
  const trace = {
    request: { request_id: "many", created_at: "2026-03-01T12:00:00Z" },
    story: {
      tokens: fill((n) => n % 500),
      origins: fill(() => 0),
      mods: fill(() => -1),
      rounds: fill((n) => n),
      times: fill((n) => n * 1000),
      probabilities: fill(() => 0.5),
      erased: fill(() => -1),
      forward_passes: SIZE,
    },
    calls: {}, failures: [], mod_logs: [], actions: [], tags: [], favourite: false, notes: [], version: 1,
  } as Trace; // biome-ignore format: short
  const texts = new Map(Array.from({ length: 500 }, (_, id) => [id, ` word${id}`]));
  const start = performance.now();
  const telling = tell(trace.story);
  const cells = cellsOf(trace, telling, texts);
  const items = itemsOf(cells, { erased: false, prompt: false });
  const lines = linesOf(items, 100);
  console.info(`10,000 tokens laid out in ${(performance.now() - start).toFixed(1)} ms`);
  const again = performance.now();
  linesOf(itemsOf(cells, { erased: false, prompt: false }, 15_000), 100);
  console.info(`and again, while scrubbing, in ${(performance.now() - again).toFixed(1)} ms`);
  expect(telling.events).toHaveLength(3 * SIZE + 2);
  expect(items).toHaveLength(SIZE);
  expect(lines.length).toBeLessThan(SIZE / 5);
});
