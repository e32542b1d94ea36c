import { describe, expect, it } from "vitest";
import { deeds, ending } from "../src/pages/request/happened.ts";
import { following } from "../src/pages/request/Scrubber.tsx";
import { cellsOf, idsOf, presence } from "../src/trace/cells.ts";
import { classOf } from "../src/trace/colours.ts";
import { itemsOf } from "../src/trace/items.ts";
import { columnsOf, display, type Item, lineAt, linesOf } from "../src/trace/layout.ts";
import { unmarked } from "../src/trace/said.ts";
import { STAYED, tell } from "../src/trace/telling.ts";
import { effectOf, stops, timelineOf } from "../src/trace/timeline.ts";
import { fixture } from "./fixtures.ts";

const NONE = new Map<number, string>();

describe.each(["eventful", "replaced", "nothing"])("the trace %s", (name) => {
  const { reply, events } = fixture(name);
  const telling = tell(reply.story);

  it("has the events that the server tells of it", () => {
    const told = telling.events.map(({ type, step, position }) => ({ type, step, position }));
    expect(told).toEqual(events.map(({ type, step, position }) => ({ type, step, position })));
  });

  it("has, after every event, the output that its events add up to", () => {
    const cells = cellsOf(reply, telling, NONE);
    let output: number[] = [];
    for (const [number, event] of events.entries()) {
      if (event.type === "Added") output = [...output, ...event.added];
      const here = cells
        .filter((cell) => cell.entry >= 0 && presence(cell, number) === "here")
        .map((cell) => cell.token);
      const removed = event.removed.length - (event.type === "Sampled" ? 1 : 0);
      if (removed > 0) output = output.slice(0, -removed);
      // A drawn token is shown while its verdict is out; what `force_output` put in has no event.
      const pending = event.type === "Sampled" && !event.removed.length ? 1 : 0;
      const put = cells.filter(
        (cell) => cell.born === number && reply.story.origins?.[cell.entry] === 3,
      );
      const expected = here.slice(0, here.length - pending - put.length);
      expect(expected).toEqual(output);
      output = [...output, ...put.map((cell) => cell.token)];
    }
  });

  it("asks for the text of every token that it shows", () => {
    const ids = idsOf(reply);
    for (const cell of cellsOf(reply, telling, NONE)) expect(ids).toContain(cell.token);
  });
});

describe("the strip", () => {
  const { reply } = fixture("eventful");
  const telling = tell(reply.story);
  const cells = cellsOf(reply, telling, NONE);
  const all = { erased: false, prompt: false };

  it("shows every token once, the prompt first", () => {
    const items = itemsOf(cells, all);
    expect(items.map((item) => item.cell)).toEqual(cells.map((_, index) => index));
  });

  it("folds what was erased into one item for each run, and loses no cell", () => {
    const items = itemsOf(cells, { erased: true, prompt: true });
    expect(items.reduce((sum, item) => sum + item.count, 0)).toBe(cells.length);
    const folds = items.filter((item) => item.kind === "erased");
    expect(folds.map((item) => item.shown)).toEqual(["−1", "−2"]);
  });

  it("shows nothing at an event that came later", () => {
    expect(itemsOf(cells, all, 0)).toHaveLength(3);
  });

  it("colours by who put a token in", () => {
    const classes = cells.map((cell) => classOf(cell, "origin"));
    expect(classes).toEqual([
      "prompt", "prompt", "prompt", "sampled", "sampled", "sampled",
      "forced mod-0", "forced mod-0", "sampled", "sampled",
    ]); // biome-ignore format: one line a run
    expect(cells.filter((cell) => cell.erased !== STAYED)).toHaveLength(3);
  });
});

describe("lines", () => {
  const item = (cell: number, width: number, ends = false): Item => ({
    cell, count: 1, kind: "token", shown: "", width, ends,
  }); // biome-ignore format: short

  it("hold every item once, and none is wider than the strip unless one item alone is", () => {
    const items = Array.from({ length: 10_000 }, (_, n) =>
      item(n, 1 + ((n * 7919) % 13), n % 97 === 0),
    );
    const lines = linesOf(items, 40);
    let next = 0;
    for (const line of lines) {
      expect(line.first).toBe(next);
      next += line.count;
      const width = items.slice(line.first, next).reduce((sum, each) => sum + each.width, 0);
      expect(line.count === 1 || width <= 40).toBe(true);
    }
    expect(next).toBe(items.length);
    for (const place of [0, 1, 500, 9_999]) {
      const line = lines[lineAt(lines, place)]!;
      expect(place >= line.first && place < line.first + line.count).toBe(true);
    }
  });

  it("end where a token ends one", () => {
    expect(linesOf([item(0, 2, true), item(1, 2)], 40)).toHaveLength(2);
  });

  it("make what cannot be seen visible, and count wide characters twice", () => {
    expect(display("a\nb\t")).toEqual({ shown: "a⏎b⇥", ends: true });
    expect(display("\u202e").shown).toBe("·");
    expect(display("").shown).toBe("∅");
    expect(columnsOf("a漢😀")).toBe(5);
  });
});

describe("what happened", () => {
  const { reply } = fixture("eventful");
  const telling = tell(reply.story);

  it("lists actions, logs and failures in the order of their events", () => {
    const rows = timelineOf(reply, telling, false);
    expect(rows.map((row) => row.kind)).toEqual(["log", "action", "action", "action", "failure"]);
    expect(stops(rows)).toEqual([1, 2, 3, 4]);
  });

  it("lists every event, too, where that is asked for", () => {
    const rows = timelineOf(reply, telling, true);
    expect(rows.filter((row) => row.kind === "event")).toHaveLength(telling.events.length);
  });

  it("is said in a sentence for each mod, without what was overridden", () => {
    expect(deeds(reply)).toEqual([
      "calm put tokens in once, took tokens back once.",
      "idle did nothing.",
    ]);
    expect(ending(reply)).toBe("It ended by itself.");
    expect(ending(fixture("nothing").reply)).toContain("aborted");
  });

  it("is played back from the first event to the last, both ways", () => {
    const last = telling.events.length - 1;
    let event = 0;
    let steps = 0;
    while (event < last && steps < 1_000) {
      const next = following(telling, event, 1);
      expect(next).toBeGreaterThan(event);
      event = next;
      steps += 1;
    }
    expect(event).toBe(last);
    expect(following(telling, 0, -1)).toBe(0);
    expect(following(telling, last, 1)).toBe(last);
  });
});

describe("what a row did", () => {
  it("is seen one event later where an action put tokens in", () => {
    const { reply } = fixture("eventful");
    const telling = tell(reply.story);
    const rows = timelineOf(reply, telling, false);
    const seen = rows.map((row) => effectOf(row, telling) - row.event);
    const forced = rows.findIndex(
      (row) => row.kind === "action" && row.action.action_type === "force_tokens",
    );
    expect(seen[forced]).toBe(1);
    expect(seen.filter((later) => later !== 0)).toHaveLength(1);
  });
});

describe("what was asked", () => {
  it("is read without the marks of a chat template", () => {
    expect(unmarked("<|bos|><|user|>Hi <b><|im_end|><|assistant|>")).toBe("Hi <b>");
    expect(unmarked("<|bos|>")).toBe("<|bos|>");
  });
});
