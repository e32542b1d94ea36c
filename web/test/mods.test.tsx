/** Writing mods: what was written stays, errors stand at their line, "Try again" does what failed.
 * And what all pages have of it: keys, the words for errors, leaving a page. */

import { EditorView } from "@codemirror/view";
import { act } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ask } from "../src/api/ask.ts";
import { errorOf } from "../src/api/errors.ts";
import { key, setKey } from "../src/api/key.ts";
import { draftOf, faultOf, uploadOf } from "../src/pages/mods/draft.ts";
import { mod } from "./fixtures.ts";
import { appears, click, find, open, says, setUp, submit, tearDown, type } from "./page.ts";
import { type FakeServer, refusal } from "./server.ts";

let server: FakeServer;
/** What the person answers when the browser asks, and what they were asked. */
let sure = false;
let questions: string[] = [];

beforeEach(() => {
  vi.stubGlobal("confirm", (words: string) => {
    questions.push(words);
    return sure;
  });
  sure = false;
  questions = [];
  server = setUp();
  server.on(/^\/v1\/mods$/, (_, init) =>
    init.method === "POST" ? { ...mod("calm"), replaced: true } : { data: [mod("calm"), STOCK] },
  );
  server.on(/^\/v1\/mods\/calm$/, () => mod("calm"));
  server.on(/^\/v1\/mods\/redact$/, () => STOCK);
});
afterEach(tearDown);

const STOCK = mod("redact", { built_in: true, shared: true });

const RAN = {
  text: "", tokens: [], finish_reason: "stop", status: 200, message: "", usage: {}, events: [],
  actions: [], prints: [], failures: [], laws: null,
}; // biome-ignore format: a reply

const editor = () => {
  const content =
    find<HTMLElement>(".editor").shadowRoot?.querySelector<HTMLElement>(".cm-content");
  const view = content ? EditorView.findFromDOM(content) : null;
  if (!view) throw new Error("there is no editor");
  return view;
};
const written = () => editor().state.doc.toString();
const marked = () =>
  find<HTMLElement>(".editor").shadowRoot?.querySelector(".cm-lint-marker-error");

async function write(source: string): Promise<void> {
  const view = editor();
  await act(async () => {
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: source } });
  });
}

async function editing(address: string): Promise<void> {
  await open(address);
  await appears(".editor");
}

async function beginWith(name: string): Promise<void> {
  await says(name);
  const select = find<HTMLSelectElement>(".tools select");
  await act(async () => {
    select.value = name;
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

const settled = () => act(() => new Promise((resolve) => setTimeout(resolve, 50)));

/** Waits until a check holds. */
async function soon(check: () => void): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) {
    try {
      return check();
    } catch {
      await act(() => new Promise((resolve) => setTimeout(resolve, 10)));
    }
  }
  check();
}

const back = () => act(async () => history.back());

/** An answer that comes when it is told to. */
function held() {
  let give = (_: unknown) => {};
  const answer = new Promise<unknown>((resolve) => {
    give = resolve;
  });
  return { answer, give: (value: unknown) => act(async () => give(value)) };
}

const asked = (method: string) =>
  server.asked.filter((each) => each.method === method).map((each) => each.path);

describe("trying again", () => {
  it.each([
    ["away", () => Promise.reject(new TypeError("no")), "The server does not answer"],
    ["broken", () => refusal(500, "oops"), "Something went wrong"],
  ])("runs dry what failed to run dry, and saves nothing (%s)", async (_, fails, words) => {
    server.on(/dry-run$/, fails);
    await editing("/mods/calm");
    await click("button", "Run it");
    await says(words);
    server.on(/dry-run$/, () => ({ ...RAN, finish_reason: "all is well" }));
    await click("button", "Try again");
    await says("all is well");
    expect(asked("POST")).toEqual(["/v1/mods/dry-run", "/v1/mods/dry-run"]);
    expect(document.querySelector(".trouble")).toBeNull();
  });

  it("with a key runs dry what was locked", async () => {
    server.on(/dry-run$/, (_, init) =>
      new Headers(init.headers).get("authorization") === "Bearer good"
        ? { ...RAN, finish_reason: "all is well" }
        : refusal(401, "a valid API key is needed"),
    );
    await editing("/mods/calm");
    await click("button", "Run it");
    await says("This server wants a key");
    await type("input[type=password]", "good");
    await submit(".trouble form");
    await says("all is well");
    expect(asked("POST")).toEqual(["/v1/mods/dry-run", "/v1/mods/dry-run"]);
  });

  it("runs what the panel says now", async () => {
    server.on(/dry-run$/, () => refusal(500, "oops"));
    await editing("/mods/calm");
    await click("button", "Run it");
    await says("oops");
    await type('section[aria-label="Dry run"] textarea', "another prompt");
    await click("button", "Try again");
    expect(server.asked.at(-1)?.body).toMatchObject({ prompt: "another prompt" });
  });

  it("deletes what failed to be deleted", async () => {
    let fails = true;
    sure = true;
    server.on(/^\/v1\/mods\/calm$/, (_, init) =>
      init.method === "DELETE" && fails ? refusal(500, "oops") : mod("calm"),
    );
    await editing("/mods/calm");
    await click("button", "Delete");
    await says("oops");
    fails = false;
    await click("button", "Try again");
    await says("Write a mod");
    expect(asked("DELETE")).toHaveLength(2);
    expect(asked("POST")).toEqual([]);
  });

  it("loads the template that failed to load", async () => {
    server.on(/^\/v1\/mods\/redact$/, () => refusal(500, "oops"));
    await editing("/mods/~new");
    await beginWith("redact");
    await says("oops");
    server.on(/^\/v1\/mods\/redact$/, () => STOCK);
    await click("button", "Try again");
    await soon(() => expect(written()).toContain("def redact"));
    expect(asked("POST")).toEqual([]);
  });

  it("saves what is written now, where more was written meanwhile", async () => {
    const { answer, give } = held();
    server.on(/^\/v1\/mods$/, (_, init) => (init.method === "POST" ? answer : { data: [] }));
    await editing("/mods/calm");
    await write("first\n");
    await click("button", "Save");
    await write("second\n");
    await give(refusal(500, "oops"));
    await says("oops");
    await click("button", "Try again");
    expect(server.asked.at(-1)?.body).toMatchObject({ files: { "calm.py": "second\n" } });
  });
});

describe("a key", () => {
  it.each(["sk-abc…", "sk\u200babc", "schlüssel", "ключ"])(
    "that no header can carry is refused in words: %s",
    async (odd) => {
      server.on(/^\/v1\/mods$/, (_, init) =>
        new Headers(init.headers).get("authorization") === "Bearer good"
          ? { data: [mod("calm")] }
          : refusal(401, "a valid API key is needed"),
      );
      await open("/mods");
      await says("This server wants a key");
      await type("input[type=password]", odd);
      await submit(".trouble form");
      await says("This cannot be a key");
      expect(key()).toBe("");
      await type("input[type=password]", "good");
      await submit(".trouble form");
      await says("what calm does");
    },
  );

  it("that was stored is not used where no header can carry it", async () => {
    setKey("sk-abc…", true);
    expect(key()).toBe("");
    await open("/mods");
    await says("what calm does");
  });
});

describe("what was written", () => {
  it("is not left by a link unasked", async () => {
    await editing("/mods/calm");
    await write("mine\n");
    await click("nav a", "Requests");
    await click(".path a", "Mods");
    expect(questions).toHaveLength(2);
    expect(location.pathname).toBe("/mods/calm");
    expect(written()).toBe("mine\n");
    sure = true;
    await click(".path a", "Mods");
    await says("Write a mod");
  });

  it("is not left by a step back unasked", async () => {
    await open("/mods");
    await says("Write a mod");
    await click("a", "Write a mod");
    await appears(".editor");
    await write("mine\n");
    await back();
    await soon(() => expect(questions).toHaveLength(1));
    expect(location.pathname).toBe("/mods/~new");
    expect(written()).toBe("mine\n");
    sure = true;
    await back();
    await says("Write a mod");
    expect(location.pathname).toBe("/mods");
  });

  it("is asked about no more once it is saved", async () => {
    await editing("/mods/calm");
    await write("mine\n");
    await click("button", "Save");
    await says("Saved.");
    await click(".path a", "Mods");
    await says("Write a mod");
    expect(questions).toEqual([]);
  });

  it("stays where a key is mistyped", async () => {
    const locked = () => refusal(401, "a valid API key is needed");
    await editing("/mods/calm");
    await write("mine\n");
    server.on(/^\/v1\/mods/, locked);
    await click("button", "Save");
    await says("This server wants a key");
    await type("input[type=password]", "mistyped");
    await submit(".trouble form");
    await settled();
    await says("This server wants a key");
    expect(written()).toBe("mine\n");
  });

  it("is not called saved where it is later than what was sent", async () => {
    const { answer, give } = held();
    server.on(/^\/v1\/mods$/, (_, init) => (init.method === "POST" ? answer : { data: [] }));
    await editing("/mods/calm");
    await write("first\n");
    await click("button", "Save");
    await write("second\n");
    await give(mod("calm"));
    await settled();
    expect(document.body.textContent).not.toContain("Saved.");
    await click(".path a", "Mods");
    expect(questions).toHaveLength(1);
  });

  it("gives way to a template only when asked", async () => {
    await editing("/mods/~new");
    await write("mine\n");
    await beginWith("redact");
    await soon(() => expect(questions).toHaveLength(1));
    expect(written()).toBe("mine\n");
    sure = true;
    await beginWith("redact");
    await soon(() => expect(written()).toContain("def redact"));
  });

  it("while a template loads does not give way unasked", async () => {
    const { answer, give } = held();
    server.on(/^\/v1\/mods\/redact$/, () => answer);
    await editing("/mods/~new");
    await beginWith("redact");
    await write("mine\n");
    await give(STOCK);
    await soon(() => expect(questions).toHaveLength(1));
    expect(written()).toBe("mine\n");
  });

  it("is nothing as long as a template is untouched", async () => {
    await editing("/mods/~new");
    await beginWith("redact");
    await soon(() => expect(written()).toContain("def redact"));
    await click(".path a", "Mods");
    await says("Write a mod");
    expect(questions).toEqual([]);
  });

  it("is deleted only when asked, and then left without another question", async () => {
    await editing("/mods/calm");
    await write("mine\n");
    await click("button", "Delete");
    expect(asked("DELETE")).toEqual([]);
    sure = true;
    await click("button", "Delete");
    await says("Write a mod");
    expect(asked("DELETE")).toEqual(["/v1/mods/calm"]);
    expect(questions).toHaveLength(2);
  });
});

describe("an error", () => {
  const trace = (path: string, line: number, sdk = "") =>
    `Traceback (most recent call last):\n  File "/srv/mods/runtime/handlers.py", line 90, in call\n` +
    `  File "${path}", line ${line}, in it\n    boom()\n${sdk}ValueError: no\n`;
  const SDK = '  File "/srv/mods/sdk/mod.py", line 88, in force_tokens\n    raise\n';

  it("is found at the line of the mod's own file, under any version of the mod", () => {
    const message = trace("my_mod@1234abcd/my_mod.py", 4);
    expect(faultOf({ message }, ["my_mod.py"])).toEqual({
      file: "my_mod.py",
      line: 4,
      message: "ValueError: no",
    });
    const deep = trace("a.b-c@1234abcd/pkg/state.py", 7);
    expect(faultOf({ message: deep }, ["state.py", "pkg/state.py"])?.file).toBe("pkg/state.py");
  });

  it("is never found in a file of the SDK's, or a helper's, of the same name", () => {
    const message = trace("it@1234abcd/mod.py", 4, SDK);
    expect(faultOf({ message }, ["mod.py"])?.line).toBe(4);
    expect(faultOf({ message: trace("shared/mod.py", 4, SDK) }, ["mod.py"])).toBeNull();
    const told = { message: "no", file: "shared/mod.py", line: 3 };
    expect(faultOf(told, ["mod.py"])).toBeNull();
  });

  it("of an import is found, too", () => {
    const message =
      "mod 'it' cannot be imported: my_mod.py, line 3: NameError: name 'x' is not known";
    expect(faultOf({ message }, ["my_mod.py"])).toMatchObject({ file: "my_mod.py", line: 3 });
  });

  it("of a run is marked in the file it arose in", async () => {
    const failure = { error: "ValueError", traceback: trace("my_mod@1234abcd/my_mod.py", 2, SDK) };
    const late = { message: "mod 'my_mod' waited longer than its hard deadline" };
    server.on(/dry-run$/, () => ({ ...RAN, status: 422, failures: [failure, late] }));
    await editing("/mods/~new");
    await click("button", "Run it");
    await says("waited longer");
    expect(marked()).not.toBeNull();
    await write("mended\n");
    expect(marked()).toBeNull();
  });
});

describe("what is sent of a mod", () => {
  const source = (text: string) => ({
    ...draftOf(STOCK, true),
    files: { "redact.py": text },
  });

  it("has its files by their names", () => {
    expect(uploadOf(draftOf(mod("calm")))).toEqual({
      name: "calm",
      files: { "calm.py": "def calm(event):\n    pass\n" },
      entrypoint: "calm:calm",
    });
  });

  it.each([
    "@mod(reach=0)\ndef redact(event): ...",
    "@mod\nasync def redact(\n  event): ...",
    "redact = create_mod(Redact())",
    "redact: Mod = create_mod(Redact())",
    "try:\n    redact = create_mod(Redact())\nexcept E: ...",
    "from other import redact",
    "from other import (\n    a,\n    b as redact,\n)",
  ])("names the function that is the mod while it is there: %s", (text) => {
    expect(uploadOf(source(text)).entrypoint).toBe("redact:redact");
  });

  it.each([
    '"""redact is it: model="base/redact"\n\nfrom mods.library.redact import MARKS"""\n@mod\ndef my_redact(event): ...',
    "# def redact(event)\ndef redact_more(event): ...",
    "redacted = 1\nprint(redact)",
    "",
  ])("names none that is gone: %s", (text) => {
    expect(uploadOf(source(text))).toEqual({ files: { "redact.py": text } });
  });
});

describe("the words for a refusal", () => {
  const WAIT = { headers: { "retry-after": "12" } };

  it("blame the traces only where it is they that are away", () => {
    const told = (type: string) => JSON.stringify({ error: { message: "words", type } });
    expect(errorOf(503, told("trace_away")).kind).toBe("storage");
    expect(errorOf(503, told("engine_restarting")).kind).toBe("busy");
    expect(errorOf(503, "").kind).toBe("busy");
    expect(errorOf(429, told("rate_limit_exceeded")).kind).toBe("busy");
  });

  it.each([
    [503, "the engine has stopped and is being started again"],
    [429, "this key may have 3 requests in a minute"],
  ])("say to wait, and how long, where the server says %i", async (status, message) => {
    const error = { message, type: "x", param: null, code: status };
    server.on(/dry-run$/, () => Response.json({ error }, { status, ...WAIT }));
    await editing("/mods/calm");
    await click("button", "Run it");
    await says(message);
    await says("12 s");
    await says("then try again");
    expect(document.body.textContent).not.toMatch(/traces|Change what it names/);
  });
});

describe("asking", () => {
  it("leaves nothing behind on a signal that lives on", async () => {
    const { signal } = new AbortController();
    const put = vi.spyOn(signal, "addEventListener");
    const taken = vi.spyOn(signal, "removeEventListener");
    await ask("/v1/mods", { signal });
    await ask("/nowhere", { signal }).catch(() => undefined);
    expect(taken).toHaveBeenCalledTimes(put.mock.calls.length);
  });

  it("can be stopped until the answer is whole", async () => {
    const stop = new AbortController();
    let inner: AbortSignal | null | undefined;
    vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
      inner = init.signal;
      return new Response(new ReadableStream());
    });
    void ask("/x", { signal: stop.signal }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort();
    expect(inner?.aborted).toBe(true);
  });
});
