/** The playground, the mods and the overview, against a server of no size. */

import { EditorView } from "@codemirror/view";
import { act } from "react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fieldsOf, specOf } from "../src/api/constraints.ts";
import { sums } from "../src/api/health.ts";
import { draftOf, faultOf, uploadOf } from "../src/pages/mods/draft.ts";
import { filled } from "../src/pages/overview/spans.ts";
import { BEGUN, hear, textOf } from "../src/pages/playground/reply.ts";
import { asCurl, asPython, bodyOf, DEFAULTS } from "../src/pages/playground/settings.ts";
import { fixture, mod } from "./fixtures.ts";
import { appears, click, find, open, says, setUp, submit, tearDown, type } from "./page.ts";
import { type FakeServer, refusal, sse } from "./server.ts";

let server: FakeServer;

beforeEach(() => {
  server = setUp();
  server.on(/^\/v1\/models$/, () => ({ data: [{ id: "demo" }, { id: "other" }] }));
  server.on(/^\/v1\/mods$/, () => ({
    data: [mod("calm"), mod("stock", { built_in: true, shared: true })],
  }));
});
afterEach(tearDown);

const delta = (delta: object, more: object = {}) => ({
  id: "eventful",
  choices: [{ index: 0, delta, finish_reason: null, ...more }],
});

const editor = () => {
  const content =
    find<HTMLElement>(".editor").shadowRoot?.querySelector<HTMLElement>(".cm-content");
  const view = content ? EditorView.findFromDOM(content) : null;
  if (!view) throw new Error("there is no editor");
  return view;
};

async function write(source: string): Promise<void> {
  const view = editor();
  await act(async () => {
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: source } });
  });
}

describe("the playground", () => {
  const ask = async (words: string) => {
    await says("demo");
    await type('textarea[aria-label="Your message"]', words);
    await submit(".talk form");
  };
  const sent = () =>
    server.asked
      .filter((each) => each.path === "/v1/chat/completions")
      .map((each) => each.body as Record<string, unknown>);

  it("shows an answer with what was taken back, and its tokens once they are stored", async () => {
    server.on(/completions$/, () =>
      sse([
        delta({ role: "assistant", content: "" }),
        delta({ content: "Hello" }),
        delta({ content: " <b>wrld" }),
        delta({ content: "", removed: { index: 0, text: "wrld", tokens: 1 } }),
        delta({ content: "world</b>" }, { finish_reason: "stop" }),
        { id: "eventful", choices: [], usage: { completion_tokens: 3, sampled_tokens: 2, forced_tokens: 1, erased_tokens: 1 } },
        "[DONE]",
      ], false)); // biome-ignore format: a stream
    server.on(/^\/logs\/eventful$/, () => fixture("eventful").reply);
    await open("/playground?mods=calm");
    await ask("Hi");
    await says("2 sampled, 1 forced, 1 erased");
    expect(find(".piece.gone").textContent).toBe("wrld");
    expect(find(".reply .text").textContent).toBe("Hello <b>wrldworld</b>");
    expect(document.querySelector(".reply .text b")).toBeNull();
    expect(sent()[0]).toMatchObject({
      model: "demo",
      mods: ["calm"],
      stream: true,
      stream_removed: true,
    });
    await click("button", "Token by token");
    await says("calm put tokens in once");
    expect(find("a", "Open the request").getAttribute("href")).toBe("/requests/eventful");
  });

  it("asks without mods beside it, where that is wanted", async () => {
    server.on(/completions$/, (_, init) => {
      const words = JSON.parse(String(init.body)).mods ? "modded" : "bare";
      return sse([delta({ content: words }, { finish_reason: "stop" }), "[DONE]"], false);
    });
    await open("/playground?mods=calm");
    await says("demo");
    await click(".talk label input[type=checkbox]");
    await ask("Hi");
    await says("modded");
    await says("bare");
    expect(sent()).toHaveLength(2);
    expect(sent()[1]).not.toHaveProperty("stream_removed");
  });

  it("tells a stream that breaks, keeps what had come, and goes on when asked", async () => {
    let breaks = true;
    server.on(/completions$/, () =>
      breaks
        ? sse([delta({ content: "half an ans" })], false)
        : sse([delta({ content: "whole" }, { finish_reason: "stop" }), "[DONE]"], false),
    );
    await open("/playground");
    await ask("Hi");
    await says("The stream broke");
    await says("half an ans");
    breaks = false;
    await click("button", "Try again");
    await says("whole");
  });

  it("tells an error that is the stream's last word", async () => {
    server.on(/completions$/, () =>
      sse(
        [
          delta({ content: "x" }),
          { error: { message: "mod 'calm' raised ValueError", code: 422 } },
          "[DONE]",
        ],
        false,
      ),
    );
    await open("/playground?mods=calm");
    await ask("Hi");
    await says("mod 'calm' raised ValueError");
  });

  it("can be stopped", async () => {
    server.on(/completions$/, (_, { signal }) => {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          controller.enqueue(
            new TextEncoder().encode(`data: ${JSON.stringify(delta({ content: "slow" }))}\n\n`),
          );
          signal?.addEventListener("abort", () => controller.error(new Error("aborted")));
        },
      });
      return new Response(body);
    });
    await open("/playground");
    await ask("Hi");
    await says("slow");
    await click("button", "Stop");
    await says("stopped");
    expect(document.querySelector(".trouble")).toBeNull();
  });

  it("has a constraint tried out as it is typed", async () => {
    server.on(/validate/, (_, init) => {
      const { pattern } = JSON.parse(String(init.body)).constraints as { pattern: string };
      return pattern.includes("(?=")
        ? {
            valid: false,
            warnings: [],
            error: { message: "look-around is not supported", part: "", position: "column 1" },
          }
        : {
            valid: true,
            warnings: ["slow start"],
            compile_time_ms: 1,
            mask_time_ms: 0.02,
            size_bytes: 300,
            masks: 1,
            error: null,
          };
    });
    await open("/playground");
    await says("demo");
    const kind = find<HTMLSelectElement>('select[aria-label="Kind of constraint"]');
    await act(async () => {
      kind.value = "regex";
      kind.dispatchEvent(new Event("change", { bubbles: true }));
    });
    await says("It can be used");
    await says("slow start");
    await write("(?=x)");
    await says("column 1: look-around is not supported");
  });
});

describe("an answer", () => {
  it("loses what is taken back from its end, across pieces, whatever was lost before", () => {
    let reply = BEGUN;
    for (const text of ["ab", "cd", "ef"]) reply = hear(reply, { type: "text", text });
    reply = hear(reply, { type: "removed", text: "def", tokens: 2 });
    expect(textOf(reply)).toBe("abc");
    reply = hear(reply, { type: "removed", text: "c", tokens: 1 });
    reply = hear(reply, { type: "text", text: "x" });
    expect(textOf(reply)).toBe("abx");
    expect(reply.pieces.map((piece) => piece.text).join("")).toBe("abcdefx");
  });
});

describe("what is sent", () => {
  const said = [{ role: "user" as const, content: 'it\'s "so"' }];

  it("has only what was set", () => {
    expect(bodyOf({ ...DEFAULTS, model: "m", maxTokens: "", full: false }, said, false)).toEqual({
      model: "m",
      messages: said,
    });
    const set = {
      ...DEFAULTS,
      model: "m",
      temperature: "0",
      seed: "7",
      system: "Be brief.",
      mods: ["a", "b"],
    };
    expect(bodyOf(set, said, false)).toEqual({
      model: "m", mods: ["a", "b"], temperature: 0, seed: 7, max_tokens: 256, trace: "full",
      messages: [{ role: "system", content: "Be brief." }, ...said],
    }); // biome-ignore format: short
  });

  it("can be copied for a shell and for Python", () => {
    const body = bodyOf({ ...DEFAULTS, model: "m", mods: ["a"] }, said, false);
    const curl = asCurl(body, "http://here");
    expect(curl).toContain("http://here/v1/chat/completions");
    expect(JSON.parse(curl.slice(curl.indexOf("-d '") + 4, -1).replaceAll("'\\''", "'"))).toEqual(
      body,
    );
    const code = asPython({ ...body, flag: true, none: null }, "http://here");
    expect(code).toContain('model="m"');
    expect(code).toContain(
      'extra_body={"mods": ["a"], "trace": "full", "flag": True, "none": None}',
    );
  });

  it("never has the key itself in what is copied", () => {
    expect(asCurl({}, "http://here")).toContain('"authorization: Bearer $CONCORDANCE_KEY"');
    expect(asPython({}, "http://here")).toContain('os.environ.get("CONCORDANCE_KEY", "none")');
  });

  it("has a constraint as each route takes it", () => {
    expect(fieldsOf({ kind: "choice", text: "a\nb\n" })).toEqual({
      structured_outputs: { choice: ["a", "b"] },
    });
    expect(specOf({ kind: "choice", text: "a\nb" })).toEqual({
      type: "choice",
      choices: ["a", "b"],
    });
    expect(fieldsOf({ kind: "none", text: "x" })).toEqual({});
    expect(fieldsOf({ kind: "json", text: "{}" })).toHaveProperty(
      "response_format.json_schema.schema",
      {},
    );
    expect(() => specOf({ kind: "json", text: "{" })).toThrow(SyntaxError);
  });
});

describe("mods", () => {
  it("are listed with what they came to", async () => {
    server.on(/stats$/, () => ({
      mods: [
        {
          mod: "calm",
          requests: 12,
          calls: 50,
          failures: 1,
          forced_tokens: 9,
          erased_tokens: 4,
          durations: { 50: 0.02, 99: 1.5 },
        },
      ],
    }));
    await open("/mods");
    await says("what calm does");
    await says("9 / 4");
    expect(find("a", "12").getAttribute("href")).toBe("/requests?mod=calm");
  });

  it("are listed without statistics, too", async () => {
    server.on(/stats$/, () => refusal(503, "Postgres is away"));
    await open("/mods");
    await says("what calm does");
    await says("Without statistics, for now: Postgres is away");
  });

  it("are written, refused at their line, mended and saved", async () => {
    let bad = true;
    server.on(/^\/v1\/mods$/, (_, init) => {
      if (init.method !== "POST") return { data: [] };
      return bad
        ? refusal(400, "invalid syntax", { file: "my_mod.py", line: 2 })
        : Response.json({ ...mod("fresh"), replaced: false }, { status: 201 });
    });
    await open("/mods/~new");
    await appears(".editor");
    await write("from mods.sdk import *\ndef (\n");
    await click("button", "Save");
    await says("invalid syntax");
    expect(
      find<HTMLElement>(".editor").shadowRoot?.querySelector(".cm-lint-marker-error"),
    ).not.toBeNull();
    bad = false;
    await write("fine\n");
    expect(document.querySelector(".trouble")).toBeNull();
    await click("button", "Save");
    await says("Saved.");
    expect(find("a", "Try it").getAttribute("href")).toBe("/playground?mods=fresh");
    expect(server.asked.at(-1)?.body).toEqual({ files: { "my_mod.py": "fine\n" } });
  });

  it("are run dry, and tell what they did and which law they broke", async () => {
    server.on(/dry-run$/, () => ({
      text: "Hi!", tokens: [{ id: 1, text: "Hi", origin: "sampled", mod: null }, { id: 2, text: "!", origin: "forced", mod: "calm" }],
      finish_reason: "stop", status: 200, message: "", usage: { sampled_tokens: 1, forced_tokens: 1, erased_tokens: 0 },
      events: [], actions: [{ action: "force_tokens", event: "Sampled", step: 1, overridden: false }], prints: [{ mod: "calm", text: "seen" }], failures: [],
      laws: { checked: true, runs: 3, calls: 9, acted: {}, complete: true, broken: { law: 3, name: "Backtrack", what: "too far", script: "s", story: ["line"] } },
    })); // biome-ignore format: a reply
    server.on(/^\/v1\/mods\/calm$/, () => mod("calm"));
    await open("/mods/calm");
    await appears(".editor");
    expect(editor().state.doc.toString()).toBe("def calm(event):\n    pass\n");
    await click('section[aria-label="Dry run"] label:nth-of-type(2) input');
    await click("button", "Run it");
    await says("Law 3 is broken (Backtrack): too far");
    await says("prints: seen");
    expect(server.asked.at(-1)?.body).toMatchObject({
      scripted: true,
      files: { "calm.py": "def calm(event):\n    pass\n" },
    });
  });

  it("that are not there say so", async () => {
    server.on(/^\/v1\/mods\/none$/, () => refusal(404, "no mod 'none'"));
    await open("/mods/none");
    await says("This is not there");
  });

  it("point at the line of a traceback, in their own files only", () => {
    const message =
      'Traceback\n  File "sdk/x.py", line 9\n  File "calm@1234abcd/calm.py", line 4, in calm\nValueError: no';
    expect(faultOf({ message }, ["calm.py"])).toEqual({
      file: "calm.py",
      line: 4,
      message: "ValueError: no",
    });
    expect(faultOf({ message }, ["other.py"])).toBeNull();
  });

  it("of several files are sent as they are, and a copy has no name", () => {
    const two = mod("two", {
      entry: "a:two",
      files: [
        { path: "a.py", size: 1, source: "def two(event): ..." },
        { path: "b.py", size: 1, source: "b" },
      ],
    });
    expect(uploadOf(draftOf(two))).toEqual({
      name: "two",
      files: { "a.py": "def two(event): ...", "b.py": "b" },
      entrypoint: "a:two",
    });
    expect(uploadOf(draftOf(mod("one"), true))).toEqual({
      entrypoint: "one:one",
      files: { "one.py": "def one(event):\n    pass\n" },
    });
  });
});

describe("the overview", () => {
  const span = (start: string, requests: number) => ({
    start, requests, failed: 1, aborted: 0, sampled_tokens: 10, forced_tokens: 2, erased_tokens: 1, latencies: { 50: 0.5, 95: 1, 99: 2 },
  }); // biome-ignore format: short

  it("says how the server is, and what went on", async () => {
    server.on(/stats$/, () => ({
      since: "2026-03-01T08:00:00Z",
      until: "2026-03-01T12:00:00Z",
      requests: [span("2026-03-01T10:00:00Z", 5)],
      mods: [],
      actions: [],
    }));
    server.on(/^\/health$/, () => ({
      status: "ok",
      backend: "vllm",
      models: ["demo"],
      sandbox: {},
      traces: {
        level: "tokens",
        postgres: "ready",
        spool: { bytes: 1, durable: 2, dropped: { disk: 3 }, lag_bytes: 2048 },
        missing: ["no writer: traces stay"],
      },
    }));
    server.on(
      /^\/metrics$/,
      () =>
        new Response(
          '# HELP x\nvllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_running{engine="1"} 1\n',
        ),
    );
    await open("/overview");
    await says("5 requests");
    await says("2.0 KiB");
    await says("no writer: traces stay");
    expect(find(".figures").textContent).toContain("running4");
  });

  it("says what is away, and shows the rest", async () => {
    server.on(/stats$/, () => ({ requests: [], mods: [], actions: [] }));
    server.on(/^\/health$/, () => refusal(503, "the engine is dead"));
    server.on(/^\/metrics$/, () => new Response("nothing", { status: 500 }));
    await open("/overview");
    await says("the engine is dead");
    await says("No request in this time");
  });

  it("fills hours in which nothing was asked", () => {
    const requests = [span("2026-03-01T10:00:00Z", 5), span("2026-03-01T13:00:00Z", 1)];
    const now = Date.parse("2026-03-01T13:30:00Z");
    const spans = filled({ requests, since: "2026-03-01T10:00:00Z" } as never, 1, now);
    expect(spans.map((each) => each.requests)).toEqual([5, 0, 0, 1]);
  });

  it("fills hours before the first request, too", () => {
    const told = { requests: [span("2026-03-01T10:00:00Z", 5)], since: "2026-03-01T08:00:00Z" };
    const spans = filled(told as never, 1, Date.parse("2026-03-01T11:30:00Z"));
    expect(spans.map((each) => each.requests)).toEqual([0, 0, 5, 0]);
  });

  it("reads numbers of any label", () => {
    const text = 'a{x="1 {y}"} 2\na{x="2"} 3\nb 1e3\n# TYPE c\nd NaN\n';
    expect([...sums(text)]).toEqual([
      ["a", 5],
      ["b", 1000],
    ]);
  });
});
