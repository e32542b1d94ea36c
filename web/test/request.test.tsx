/** One request's page: traces from outside, keys and pointer, other models, what people add. */

import { act } from "react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RecordEvent, Trace } from "../src/api/logs.ts";
import { piecesOf } from "../src/api/pieces.ts";
import { cellsOf, presence } from "../src/trace/cells.ts";
import { tellingOf } from "../src/trace/gathering.ts";
import { timelineOf } from "../src/trace/timeline.ts";
import { fixture } from "./fixtures.ts";
import { click, find, open, press, says, setUp, submit, tearDown, type } from "./page.ts";
import { type FakeServer, refusal } from "./server.ts";

let server: FakeServer;

beforeEach(() => {
  server = setUp();
});
afterEach(tearDown);

const { reply } = fixture("eventful");

/** What the server answers for a trace that was ingested. */
const outside = (more: Partial<Trace>): Trace => ({
  ...reply,
  request: { request_id: "x", created_at: "2026-03-01T12:00:00Z", model: "demo" },
  story: {},
  calls: {},
  failures: [],
  mod_logs: [],
  actions: [],
  ...more,
});

/** `Added` four times, without rounds; the fourth takes two back. */
const TAKEN_BACK = outside({
  story: {
    tokens: [11, 12, 13, 14],
    origins: [0, 0, 0, 0],
    mods: [-1, -1, -1, -1],
    rounds: [0, 1, 2, 3],
    erased: [-1, -1, 3, 3],
  },
  calls: { events: [3], mods: [0], micros: [null] },
  actions: [{ action_type: "backtrack", mod_call_sequence: 0, event_type: "Added", step: 3 }],
});
const ITS_EVENTS: RecordEvent[] = [
  { event_type: "Added", step: 0, added_tokens: [11] },
  { event_type: "Added", step: 1, added_tokens: [12] },
  { event_type: "Added", step: 2, added_tokens: [13] },
  { event_type: "Added", step: 3, added_tokens: [14], removed_tokens: [13, 14] },
];

/** A story, with the events that do not follow from it. */
const serve = (trace: Trace, events?: RecordEvent[]) =>
  server.on(/^\/logs\/x$/, () => ({ ...trace, ...(events ? { events } : {}) }));

const marked = () => document.querySelector(".strip [aria-current]")?.textContent;
const card = () => find(".card").textContent;

/** A key, where the focus would be. */
const pressIn = (selector: string, key: string) =>
  act(async () => {
    find(selector).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  });

/** A pointer comes to a token; with the same place again, the token comes to it. */
const point = (words: string, clientX: number) =>
  act(async () => {
    const token = find(".strip .token", words);
    for (const kind of ["mouseover", "mousemove"]) {
      token.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX }));
    }
  });

describe("a trace from outside", () => {
  it("whose events do not follow from its story is told with its own", async () => {
    const events = [{ event_type: "ForwardPass" as const, step: 2_000_000_000 }];
    serve(outside({ story: { forward_passes: 2_000_000_001 } }), events);
    await open("/requests/x");
    await says("This trace has no tokens");
    expect(find<HTMLInputElement>('input[type="range"]').max).toBe("0");
  });

  it("without rounds shows what was taken out, and when", async () => {
    serve(TAKEN_BACK, ITS_EVENTS);
    await open("/requests/x");
    await says(" t14");
    expect(document.querySelectorAll(".strip .token.gone")).toHaveLength(2);
    expect(find(".happening").textContent).toContain("round 3 · Added");
  });

  it("has after every event the output that its events add up to", () => {
    const trace = { ...TAKEN_BACK, events: ITS_EVENTS };
    const telling = tellingOf(trace.story, trace.events);
    const cells = cellsOf(trace, telling, new Map());
    const outputs = ITS_EVENTS.map((_, number) =>
      cells.filter((cell) => presence(cell, number) === "here").map((cell) => cell.token),
    );
    expect(outputs).toEqual([[11], [11, 12], [11, 12, 13], [11, 12]]);
    expect(telling.events.map((event) => event.position)).toEqual([1, 2, 3, 4]);
    const note = { id: 1, request_id: "x", step: 2, caller: "", text: "", created_at: "" };
    const rows = timelineOf({ ...trace, notes: [note] }, telling, false);
    expect(rows.map((row) => row.event)).toEqual([2, 3]);
  });

  it("is told like one of ours where it is like one of ours", () => {
    for (const name of ["eventful", "replaced", "nothing"]) {
      const { reply, events } = fixture(name);
      const own = events.map(
        (event): RecordEvent => ({
          event_type: event.type as RecordEvent["event_type"],
          step: event.step,
          added_tokens: event.added,
          removed_tokens: event.removed,
          output_tokens:
            name === "replaced" && event === events.at(-2) ? reply.story.tokens?.slice(1) : [],
          forced: event.added.length === 2,
          ...(event.type === "Sampled" && {
            sampled_token: reply.story.tokens?.[reply.story.rounds?.indexOf(event.step) ?? 0],
          }),
        }),
      );
      expect(tellingOf(reply.story, own)).toEqual(tellingOf(reply.story));
    }
  });

  it("that has only its output shows that", async () => {
    serve(outside({ request: { ...outside({}).request, final_token_ids: [11, 12] } }));
    await open("/requests/x");
    await says(" t12");
    expect(document.querySelectorAll(".strip .token.sampled")).toHaveLength(2);
    await click(".strip .token", " t12");
    expect(card()).toContain("drawn by the model");
    expect(card()).not.toContain("round");
  });
});

describe("keys and pointer", () => {
  beforeEach(() => {
    server.on(/^\/logs\/eventful$/, () => reply);
  });

  it("take turns: the card shows what the latest of them says", async () => {
    await open("/requests/eventful");
    await says(" t12");
    await point(" t11", 10);
    await click(".strip .token", " t11");
    await pressIn(".strip", "ArrowRight");
    expect(card()).toContain(" t12");
    await point(" t13", 10);
    expect(card(), "the strip moved, and the pointer did not").toContain(" t12");
    await point(" t13", 11);
    expect(card()).toContain(" t13");
    await pressIn(".strip", "ArrowLeft");
    expect(card()).toContain(" t11");
    expect(marked()).toBe(" t11");
  });

  it("go to the token whose draw a mod shaped, and on from there", async () => {
    const actions = reply.actions.map((action) => ({ ...action, overridden: false }));
    server.on(/^\/logs\/eventful$/, () => ({ ...reply, actions }));
    await open("/requests/eventful");
    await says(" t15");
    for (const _ of [1, 2, 3]) await press("n");
    expect(find(".happening.at").textContent).toContain("ban");
    expect(marked()).toBe(" t15");
    expect(card()).toContain(" t15");
    await pressIn(".strip", "ArrowLeft");
    expect(marked()).toBe(" t14");
  });

  it("have a place in the strip at every event", async () => {
    await open("/requests/eventful");
    await says(" t15");
    const last = Number(find<HTMLInputElement>('input[type="range"]').max);
    for (let event = last - 1; event >= 0; event -= 1) {
      await type('input[type="range"]', String(event));
      expect(marked(), `at event ${event}`).toBeTruthy();
    }
    expect(marked(), "before anything was drawn").toBe(" t3");
  });

  it("go from action to action also after the slider and a tick, not where one writes", async () => {
    await open("/requests/eventful");
    await says(" t15");
    await pressIn('input[type="range"]', "n");
    expect(find(".happening.at").textContent).toContain("force_tokens");
    await pressIn('.timeline input[type="checkbox"]', "n");
    expect(find(".happening.at").textContent).toContain("backtrack");
    for (const selector of ["textarea", "select", 'input[aria-label="Add a tag"]']) {
      await pressIn(selector, "n");
    }
    expect(find(".happening.at").textContent).toContain("backtrack");
  });
});

describe("tokens of a model that is not served", () => {
  it("are numbers, with a line that says why, and nobody is asked for their texts", async () => {
    server.on(/^\/v1\/models$/, () => ({ data: [{ id: "another" }] }));
    server.on(/^\/logs\/eventful$/, () => reply);
    await open("/requests/eventful");
    await says("This ran on demo, which this server does not serve");
    await says("#11");
    await click(".strip .token", "#11");
    expect(find(".alternatives").textContent).toContain("#61");
    expect(find(".happening", "force_tokens").textContent).toContain("#21#22");
    expect(server.asked.some(({ path }) => path === "/pieces")).toBe(false);
  });

  it("are numbers where it is not known which model that was", async () => {
    serve({ ...TAKEN_BACK, request: { ...TAKEN_BACK.request, model: "" } }, ITS_EVENTS);
    await open("/requests/x");
    await says("Which model this ran on is not known");
    await says("#12");
  });

  it("are no reason for a line where there are none", async () => {
    serve(outside({ request: { ...outside({}).request, model: "another" } }));
    await open("/requests/x");
    await says("This trace has no tokens");
    expect(document.body.textContent).not.toContain("does not serve");
  });

  it("are told on their side only where two are compared", async () => {
    const request = { ...reply.request, request_id: "x", model: "another" };
    server.on(/^\/logs\/eventful$/, () => reply);
    server.on(/^\/logs\/x$/, () => ({ ...reply, request }));
    const tokens = [{ token: 11, origin: "sampled" }];
    const blocks = [{ kind: "equal", a: [0, 1], b: [0, 1] }];
    const diff = { a: "eventful", b: "x", same: 1, tokens_a: tokens, tokens_b: tokens, blocks };
    server.on(/diff/, () => diff);
    await open("/compare/eventful/x");
    await says("This ran on another");
    expect(find('section[aria-label="The one"]').textContent).toContain(" t11");
    expect(find('section[aria-label="The one"]').textContent).not.toContain("does not serve");
    expect(find('section[aria-label="The other"]').textContent).toContain("#11");
  });

  it("are asked for again once another is served", async () => {
    expect([...(await piecesOf([1]))]).toEqual([[1, " t1"]]);
    await piecesOf([1]);
    expect(server.asked.filter(({ path }) => path === "/pieces")).toHaveLength(1);
    server.on(/^\/v1\/models$/, () => ({ data: [{ id: "another" }] }));
    server.on(/^\/pieces$/, () => ({ pieces: ["one"] }));
    expect([...(await piecesOf([1]))]).toEqual([[1, "one"]]);
  });
});

describe("what people add", () => {
  const note = (id: number, text: string) => ({
    id,
    request_id: "eventful",
    step: 2,
    caller: "ann",
    text,
    created_at: "2026-03-01T12:00:00Z",
  });
  /** Answers that come when they are let. */
  const held: (() => void)[] = [];
  const hold = (path: RegExp, answer: (body: string) => unknown) =>
    server.on(path, async (_, init) => {
      await new Promise<void>((resolve) => held.push(resolve));
      return answer(String(init.body));
    });
  const release = () =>
    act(async () => {
      for (const each of held.splice(0)) each();
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
  const begin = async () => {
    server.on(/^\/logs\/eventful$/, () => ({ ...reply, notes: [note(1, "one"), note(2, "two")] }));
    await open("/requests/eventful");
    await says("Note: two");
  };
  beforeEach(() => {
    held.length = 0;
  });

  it("goes at once, two together", async () => {
    await begin();
    hold(/notes\/\d$/, () => ({}));
    await click(".notes li:nth-child(1) button");
    await click(".notes li:nth-child(2) button");
    await release();
    expect(document.querySelectorAll(".notes li")).toHaveLength(0);
  });

  it("stays, a star and a tag together", async () => {
    await begin();
    hold(/favourite$/, () => ({ favourite: true }));
    hold(/tags$/, () => ({ tags: ["good", "odd"] }));
    await click("button.star");
    await type('input[aria-label="Add a tag"]', "odd");
    await submit(".head form");
    await release();
    expect(find(".star").textContent).toBe("★");
    expect(find(".head").textContent).toContain("odd");
    hold(/tags\/odd$/, () => ({ tags: ["good"] }));
    await click('button[aria-label="Remove the tag odd"]');
    await release();
    expect([...document.querySelectorAll(".chip.tag")].map((chip) => chip.textContent)).toEqual([
      "good×",
    ]);
  });

  it("is stored once, and what is written meanwhile stays", async () => {
    await begin();
    hold(/notes$/, (body) => note(3, JSON.parse(body).text));
    await type("textarea", "three");
    await submit('section[aria-label="Notes"] form');
    expect(find<HTMLButtonElement>("button", "Add the note").disabled).toBe(true);
    await submit('section[aria-label="Notes"] form');
    await type("textarea", "three, and more");
    await release();
    expect(document.querySelectorAll(".notes li")).toHaveLength(3);
    expect(find<HTMLTextAreaElement>("textarea").value).toBe(", and more");
    expect(find<HTMLButtonElement>("button", "Add the note").disabled).toBe(false);
  });

  it("is kept as written where it could not be stored", async () => {
    await begin();
    server.on(/notes$/, () => refusal(503, "Postgres is away"));
    await type("textarea", "three");
    await submit('section[aria-label="Notes"] form');
    await says("It could not be saved: Postgres is away");
    expect(find<HTMLTextAreaElement>("textarea").value).toBe("three");
    expect(find<HTMLButtonElement>("button", "Add the note").disabled).toBe(false);
  });

  it("leaves that row of the timeline open that was", async () => {
    await begin();
    await click(".happening", "Note: two");
    expect(find("pre.detail").textContent).toBe("two");
    server.on(/notes\/1$/, () => ({}));
    await click(".notes li:nth-child(1) button");
    await says("Note: two");
    expect(document.querySelector(".timeline")?.textContent).not.toContain("Note: one");
    expect(find("pre.detail").textContent).toBe("two");
    await click('.timeline input[type="checkbox"]');
    expect(find(".happening.at").textContent).toContain("Note: two");
  });
});

it("a message that says nothing, or something, shows the tools that it calls", async () => {
  const tool_calls = [{ function: { name: "weather", arguments: "{}" } }];
  const messages = [
    { role: "assistant", content: "", tool_calls },
    { role: "assistant", content: "Let me look.", tool_calls },
    { role: "user", content: "Thanks." },
  ];
  serve(outside({ request: { ...outside({}).request, messages } }));
  await open("/requests/x");
  await says("Thanks.");
  const shown = [...document.querySelectorAll(".message pre")].map((each) => each.textContent);
  expect(shown[0]).toContain('"weather"');
  expect(shown[1]).toMatch(/^Let me look\.[\s\S]*"weather"/);
  expect(shown[2]).toBe("Thanks.");
});
