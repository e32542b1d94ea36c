/** Pages that go on by themselves: the live list, the overview, and two that are compared. */

import { act } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Summary } from "../src/api/logs.ts";
import { asked } from "../src/pages/requests/filters.ts";
import { summary } from "./fixtures.ts";
import { click, find, open, says, setUp, tearDown, type } from "./page.ts";
import { type FakeServer, refusal } from "./server.ts";

vi.setConfig({ testTimeout: 30_000 });

let server: FakeServer;

beforeEach(() => {
  server = setUp();
});
afterEach(tearDown);

const MIDDAY = Date.parse("2026-03-01T12:00:00Z");

const row = (request_id: string, second: number): Summary =>
  summary(request_id, {
    created_at: new Date(MIDDAY + second * 1000).toISOString(),
    prompt: `asked:${request_id}.`,
    output: "answer",
  });

const rowsFrom = (name: string, count: number, second: number) =>
  Array.from({ length: count }, (_, n) => row(`${name}${n}`, second + n));

/** Traces as the server lists them, newest first, and its stream of what goes on. */
class Traces {
  rows: Summary[] = [];
  /** Waited for before a page behind the first is given. */
  held: Promise<void> | null = null;
  private stream: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor(server: FakeServer) {
    server.on(/^\/logs$/, async (url) => {
      const page = this.page(Number(url.searchParams.get("limit")), url.searchParams.get("cursor"));
      if (url.searchParams.has("cursor")) await this.held;
      return page;
    });
    server.on(/^\/logs\/stream/, () => {
      const body = new ReadableStream<Uint8Array>({
        start: (stream) => {
          this.stream = stream;
        },
      });
      return new Response(body);
    });
  }

  tell(message: object) {
    this.stream?.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(message)}\n\n`));
  }

  /** These end, and are stored. */
  end(...rows: Summary[]) {
    this.rows = [...this.rows, ...rows].sort((a, b) => b.created_at.localeCompare(a.created_at));
    for (const { request_id } of rows) {
      this.tell({ type: "ended", request_id, status: "stop", text: "" });
    }
  }

  ids = () => this.rows.map((row) => row.request_id);

  private page(limit: number, cursor: string | null) {
    const start = cursor === null ? 0 : this.ids().indexOf(cursor) + 1;
    const data = this.rows.slice(start, start + limit);
    const more = start + limit < this.rows.length;
    return { object: "list", data, next: more ? data.at(-1)?.request_id : null };
  }
}

const HEIGHT = 64;

async function scrollTo(index: number): Promise<void> {
  const list = find<HTMLElement>(".requests-list");
  await act(async () => {
    list.scrollTop = index * HEIGHT;
    list.dispatchEvent(new Event("scroll"));
  });
}

const shown = () =>
  [...document.querySelectorAll(".request .asked")].map(
    (each) => /asked:(.*)\./.exec(each.textContent ?? "")?.[1] ?? "",
  );

/** Everything that scrolling from the top to the end finds, in its order. */
async function readThrough(): Promise<string[]> {
  const found = new Set<string>();
  for (let index = 0; ; index += 15) {
    await scrollTo(index);
    await says(/more below|that is all/);
    for (const id of shown()) found.add(id);
    if (index > found.size && /that is all/.test(document.body.textContent ?? "")) {
      return [...found];
    }
  }
}

const asksOf = (path: RegExp) => server.asked.filter((each) => path.test(each.path)).length;

describe("the live list", () => {
  it("puts what took long where it began, not on top", async () => {
    const traces = new Traces(server);
    traces.end(row("early", 0), row("late", 20));
    await open("/requests");
    await says("asked:late.");
    traces.end(row("long", 10), row("latest", 30));
    await says("asked:long.");
    expect(shown()).toEqual(["latest", "late", "long", "early"]);
  });

  it("has what took long in its place further down, too", async () => {
    const traces = new Traces(server);
    traces.end(...rowsFrom("old", 150, -1000));
    await open("/requests");
    await says("asked:old149.");
    for (const lot of [1, 2, 3]) {
      traces.end(...rowsFrom(`lot${lot}-`, 50, lot * 100));
      await says(`asked:lot${lot}-49.`);
    }
    traces.end(row("long", 5), row("last", 500));
    await says("asked:last.");
    expect(await readThrough()).toEqual(traces.ids());
  });

  it("has no gap where many come while the next page is on its way", async () => {
    const traces = new Traces(server);
    traces.end(...rowsFrom("old", 250, -1000));
    let release = () => {};
    traces.held = new Promise((done) => {
      release = done;
    });
    await open("/requests");
    await says("asked:old249.");
    await scrollTo(95);
    await says("more are coming");
    await scrollTo(0);
    traces.end(...rowsFrom("new", 130, 0));
    await says("asked:new129.");
    traces.held = null;
    await act(async () => release());
    expect(await readThrough()).toEqual(traces.ids());
  });

  it("stands still for one who looks further down, says what came, and shows it when asked", async () => {
    const traces = new Traces(server);
    traces.end(...rowsFrom("old", 500, -1000));
    await open("/requests");
    await says("asked:old499.");
    for (const index of [95, 195, 290]) {
      await scrollTo(index);
      await says(`asked:old${499 - index}.`);
    }
    const before = shown();
    traces.end(...rowsFrom("few", 3, 0));
    await says("Show 3 new");
    traces.end(...rowsFrom("many", 150, 10));
    await says("Show 100+ new");
    expect(shown()).toEqual(before);
    await click("button", "Show 100+ new");
    await says("asked:many149.");
    expect(document.body.textContent).not.toContain("Show 100+ new");
    expect(await readThrough()).toEqual(traces.ids());
  });

  it("takes in what came when one goes back to its top", async () => {
    const traces = new Traces(server);
    traces.end(...rowsFrom("old", 90, -1000));
    await open("/requests");
    await says("asked:old89.");
    await scrollTo(40);
    traces.end(row("new", 0));
    await says("Show 1 new");
    await scrollTo(0);
    await says("asked:new.");
    expect(shown().slice(0, 2)).toEqual(["new", "old89"]);
  });

  it("does not grow while new ones come", async () => {
    const traces = new Traces(server);
    traces.end(...rowsFrom("old", 90, -1000));
    await open("/requests");
    await says("asked:old89.");
    for (const round of [1, 2]) {
      traces.end(...rowsFrom(`round${round}-`, 60, round * 100));
      await says(`asked:round${round}-59.`);
    }
    await says("100 shown, more below");
  });

  it("asks again only once the last answer has come", async () => {
    const traces = new Traces(server);
    traces.end(row("old", 0));
    await open("/requests");
    await says("asked:old.");
    const asks = asksOf(/^\/logs\?/);
    let answer = (_: unknown) => {};
    server.on(/^\/logs$/, () => new Promise((done) => (answer = done))); // biome-ignore format: short
    for (let n = 1; n <= 3; n += 1) {
      traces.end(row(`new${n}`, n));
      await act(() => new Promise((done) => setTimeout(done, 1_000)));
    }
    expect(asksOf(/^\/logs\?/)).toBe(asks + 1);
    await act(async () => answer({ data: traces.rows.slice(2), next: null }));
    expect(asksOf(/^\/logs\?/)).toBe(asks + 2);
    await act(async () => answer({ data: traces.rows, next: null }));
    await says("asked:new3.");
  });

  it("keeps a star that the server has not taken in yet", async () => {
    const traces = new Traces(server);
    traces.end(row("one", 0));
    server.on(/favourite$/, () => new Promise(() => {}));
    await open("/requests");
    await says("asked:one.");
    await click("button.star");
    traces.end(row("two", 1));
    await says("asked:two.");
    expect(find(".request:nth-child(2) button.star").textContent).toBe("★");
  });

  it("says how long ago it was, as time goes by", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date"], now: MIDDAY });
    const traces = new Traces(server);
    traces.end(row("one", 0));
    await open("/requests");
    await says("asked:one.");
    expect(find(".request .facts").textContent).toContain("now");
    await act(async () => vi.advanceTimersByTime(3_600_000));
    expect(find(".request .facts").textContent).toContain("1 h ago");
  });

  it("forgets what was under way when it has missed messages", async () => {
    const traces = new Traces(server);
    await open("/requests");
    await says("live");
    for (const request_id of ["a", "b"]) traces.tell({ type: "begun", request_id, model: "demo" });
    await says("2 under way");
    traces.tell({ type: "missed", count: 7 });
    traces.tell({ type: "begun", request_id: "c", model: "demo" });
    await says("1 under way");
  });
});

describe("times of the list", () => {
  const choose = async (value: string) => {
    const select = find<HTMLElement>(".filters label", "When").querySelector("select")!;
    await act(async () => {
      select.value = value;
      select.dispatchEvent(new Event("change", { bubbles: true }));
    });
  };

  it("are since a moment or within the last hours, never both", async () => {
    new Traces(server);
    await open("/requests?last=day");
    await type('input[type="datetime-local"]', "2026-03-01T10:00");
    await act(async () => {
      find(".grid label", "Since")
        .querySelector("input")
        ?.dispatchEvent(new FocusEvent("focusout", { bubbles: true }));
    });
    expect(location.search).toBe("?since=2026-03-01T10%3A00");
    await choose("hour");
    expect(location.search).toBe("?last=hour");
  });

  it("are the moment where an address has both", async () => {
    new Traces(server);
    await open("/requests?since=2026-03-01T10:00Z&last=hour");
    await says("No request fits");
    expect(find(".filters label", "When").querySelector("select")?.value).toBe("");
    expect(server.asked.find((each) => each.path.startsWith("/logs?"))?.path).toContain(
      encodeURIComponent(asked({ since: "2026-03-01T10:00Z" }, "").since ?? ""),
    );
  });
});

describe("the overview, as time goes by", () => {
  const HEALTH = { status: "ok", backend: "vllm", models: ["demo"], sandbox: {} };
  const never = (_: URL, { signal }: RequestInit) =>
    new Promise((_, refuse) => {
      signal?.addEventListener("abort", () => refuse(new Error("aborted")));
    });
  /** Second by second: what is drawn in between counts. */
  const pass = async (seconds: number) => {
    for (let n = 0; n < seconds; n += 1) await act(() => vi.advanceTimersByTimeAsync(1_000));
  };

  beforeEach(() => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    server.on(/^\/health$/, () => HEALTH);
    server.on(/^\/metrics$/, () => new Response("vllm:num_requests_running 3\n"));
    server.on(/stats$/, () => ({ requests: [], mods: [], actions: [] }));
  });

  it("says so when the server no longer answers, and from when its numbers are", async () => {
    await open("/overview");
    await says("No request in this time");
    await says("vllm");
    for (const path of [/^\/health$/, /^\/metrics$/, /stats$/]) server.on(path, never);
    await pass(45);
    await says("The server is too slow to answer");
    const text = document.body.textContent ?? "";
    expect(text.match(/These are the numbers of/g)).toHaveLength(2);
    expect(text).toContain("The engine's numbers are those of");
    expect(text).toContain("running3");
    expect(text).toContain("No request in this time");
  });

  it("says so when the server does not answer at first", async () => {
    server.on(/stats$/, never);
    await open("/overview");
    await pass(5);
    await says("This takes longer than usual");
    await pass(30);
    await says("The server is too slow to answer");
  });

  it("has numbers that take longer than it waits between two", async () => {
    server.on(/stats$/, (url, init) => {
      const late = new Promise((done) =>
        setTimeout(() => done({ requests: [], mods: [], actions: [] }), 15_000),
      );
      return Promise.race([late, never(url, init)]);
    });
    await open("/overview");
    await pass(16);
    await says("No request in this time");
  });

  it("asks again and again, and is well once the server is", async () => {
    server.on(/^\/health$/, () => refusal(503, "the engine is dead"));
    await open("/overview");
    await says("the engine is dead");
    server.on(/^\/health$/, () => HEALTH);
    await pass(11);
    await says("ok, vllm");
    expect(document.querySelector(".trouble")).toBeNull();
    const asks = asksOf(/health/);
    await pass(30);
    expect(asksOf(/health/)).toBe(asks + 3);
  });
});

describe("two that are compared", () => {
  it("say where one of them cannot be had, and ask again", async () => {
    server.on(/diff/, () => ({
      a: "one",
      b: "two",
      same: 1,
      tokens_a: [{ token: 1, origin: "sampled" }],
      tokens_b: [{ token: 1, origin: "sampled" }],
      blocks: [{ kind: "equal", a: [0, 1], b: [0, 1] }],
    }));
    server.on(/^\/logs\/one$/, () => ({ request: { final_text: "first text" } }));
    server.on(/^\/logs\/two$/, () => refusal(503, "Postgres is away"));
    await open("/compare/one/two");
    await says("Postgres is away");
    server.on(/^\/logs\/two$/, () => ({ request: { final_text: "second text" } }));
    await click("button", "Try again");
    await says("second text");
    await says("first text");
  });
});
