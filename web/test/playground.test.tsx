/** The playground's conversation, what is copied from it, and replays, against a server of no size. */

import { act } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chat } from "../src/api/chat.ts";
import type { ApiError } from "../src/api/errors.ts";
import { go } from "../src/app/location.ts";
import { fixture } from "./fixtures.ts";
import { appears, click, find, open, says, setUp, submit, tearDown, type } from "./page.ts";
import { type FakeServer, refusal, sse } from "./server.ts";

let server: FakeServer;

beforeEach(() => {
  server = setUp();
  server.on(/^\/v1\/models$/, () => ({ data: [{ id: "demo" }] }));
  server.on(/^\/v1\/mods$/, () => ({ data: [{ name: "calm", description: "" }] }));
  server.on(/^\/validate_constraints$/, () => ({ valid: true, warnings: [] }));
});
afterEach(tearDown);

const MESSAGE = 'textarea[aria-label="Your message"]';
const piece = (content: string, id = "x") => ({
  id,
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
});
const answered = (words: string, id = "x") => sse([piece(words, id), "[DONE]"], false);

/** An answer that is written by and by, and ends when the page lets go of it. */
function slowly(init: RequestInit) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const out = writable.getWriter();
  init.signal?.addEventListener("abort", () => void out.abort().catch(() => undefined));
  const say = (message: object | string) => {
    const data = typeof message === "string" ? message : JSON.stringify(message);
    void out.write(new TextEncoder().encode(`data: ${data}\n\n`));
  };
  const end = () => {
    say("[DONE]");
    void out.close();
  };
  return { response: new Response(readable), say, end };
}

async function ask(words: string): Promise<void> {
  await says("demo");
  await type(MESSAGE, words);
  await submit(".talk form");
}

async function choose(kind: string): Promise<void> {
  const field = find<HTMLSelectElement>('select[aria-label="Kind of constraint"]');
  await act(async () => {
    field.value = kind;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });
  if (kind !== "none") await appears(".editor");
}

async function write(text: string): Promise<void> {
  const { EditorView } = await import("@codemirror/view");
  const root = find<HTMLElement>(".editor").shadowRoot;
  const view = EditorView.findFromDOM(root?.querySelector<HTMLElement>(".cm-content") as never);
  await act(async () =>
    view?.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
  );
}
const written = () => find<HTMLElement>(".editor").shadowRoot?.querySelector(".cm-content");

const move = (to: string) => act(async () => go(to));
const buttons = (words: string) =>
  [...document.querySelectorAll("button")].filter((each) => each.textContent === words);
const typed = () => find<HTMLTextAreaElement>(MESSAGE).value;
const sent = () =>
  server.asked
    .filter((each) => each.path === "/v1/chat/completions")
    .map((each) => each.body as { messages: unknown[]; mods?: string[] });

describe("a conversation", () => {
  it("offers to ask again only where nothing came after", async () => {
    let fails = true;
    server.on(/completions$/, () => (fails ? refusal(500, "no luck") : answered("second")));
    await open("/playground");
    await ask("one");
    await says("no luck");
    expect(buttons("Try again")).toHaveLength(1);
    fails = false;
    await ask("two");
    await says("second");
    expect(buttons("Try again")).toHaveLength(0);
    expect(document.querySelectorAll(".turn")).toHaveLength(2);
  });

  it("keeps what is being typed when an answer is asked for again", async () => {
    let fails = true;
    server.on(/completions$/, () => (fails ? refusal(500, "no luck") : answered("better")));
    await open("/playground");
    await ask("one");
    await says("no luck");
    await type(MESSAGE, "the next thing");
    fails = false;
    await click("button", "Try again");
    await says("better");
    expect(typed()).toBe("the next thing");
    expect(document.querySelectorAll(".turn")).toHaveLength(1);
  });

  it("asks one thing at a time", async () => {
    let fails = true;
    let second: ReturnType<typeof slowly> | undefined;
    server.on(/completions$/, (_, init) => {
      if (fails) return refusal(500, "no luck");
      second = slowly(init);
      return second.response;
    });
    await open("/playground");
    await ask("one");
    await says("no luck");
    fails = false;
    await ask("two");
    second?.say(piece("writing"));
    await says("writing");
    expect(buttons("Try again")).toHaveLength(0);
    await ask("three");
    expect(sent()).toHaveLength(2);
    expect(typed()).toBe("three");
    second?.end();
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)));
    expect(buttons("Stop")).toHaveLength(0);
    expect(document.querySelectorAll(".turn")).toHaveLength(2);
  });

  it("asks only the side again that failed, with the mods or without", async () => {
    let fails = true;
    server.on(/completions$/, (_, init) => {
      if (JSON.parse(String(init.body)).mods) return answered("modded");
      return fails ? refusal(500, "no luck") : answered("bare");
    });
    await open("/playground?mods=calm");
    await says("demo");
    await click(".talk label input[type=checkbox]");
    await ask("one");
    await says("no luck");
    await says("modded");
    fails = false;
    await click("button", "Try again");
    await says("bare");
    await says("modded");
    expect(sent().map((body) => body.mods ?? [])).toEqual([["calm"], [], []]);
  });

  it("is there after looking at another page, also what was being written meanwhile", async () => {
    let reply: ReturnType<typeof slowly> | undefined;
    server.on(/completions$/, (_, init) => {
      reply = slowly(init);
      return reply.response;
    });
    await open("/playground?mods=calm");
    await says("demo");
    await type('input[placeholder="the server\'s"]', "0.3");
    await ask("one");
    reply?.say(piece("half"));
    await says("half");
    await type(MESSAGE, "a draft");
    await click("button", "Without calm");
    await move("/overview");
    reply?.say(piece(" and half"));
    reply?.end();
    await move("/playground");
    await says("half and half");
    expect(typed()).toBe("a draft");
    expect(document.querySelectorAll(".chain li")).toHaveLength(0);
    expect(find<HTMLInputElement>('input[placeholder="the server\'s"]').value).toBe("0.3");
    expect(buttons("Stop")).toHaveLength(0);
  });

  it("has its mods in the address, so that Back brings the chosen ones", async () => {
    await open("/playground?mods=calm");
    await says("demo");
    await click("button", "Without calm");
    expect(location.pathname + location.search).toBe("/playground");
    await move("/mods");
    await move("/playground?mods=stock,calm");
    await says("stock");
    await click("button", "stock later");
    expect(location.search).toBe("?mods=calm,stock");
  });

  it("can be begun anew while an answer is written, which then changes nothing", async () => {
    const replies: ReturnType<typeof slowly>[] = [];
    server.on(/completions$/, (_, init) => {
      replies.push(slowly(init));
      return replies.at(-1)?.response;
    });
    await open("/playground");
    await ask("one");
    replies[0]?.say(piece("old words"));
    await says("old words");
    await type(MESSAGE, "a draft");
    await click("button", "New conversation");
    expect(document.querySelectorAll(".turn")).toHaveLength(0);
    expect(typed()).toBe("a draft");
    await ask("two");
    replies[1]?.say(piece("new words"));
    await says("new words");
    expect(document.body.textContent).not.toContain("old words");
    expect(sent()[1]?.messages).toHaveLength(1);
    await click("button", "Stop");
    await says("stopped");
  });
});

describe("a constraint", () => {
  it("is kept for each kind while another is looked at", async () => {
    await open("/playground");
    await says("demo");
    await choose("regex");
    await write("mine+");
    await choose("choice");
    expect(written()?.textContent).toContain("perhaps");
    await choose("none");
    await choose("regex");
    expect(written()?.textContent).toBe("mine+");
  });
});

describe("what is copied", () => {
  const clipboard = () => {
    const writeText = vi.fn(async (_: string) => undefined);
    Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
    return writeText;
  };

  it("takes the key from the shell, whether the page knows one or the browser sends it", async () => {
    const copied = clipboard();
    await open("/playground");
    await says("demo");
    await click("button", "Copy as curl");
    expect(copied.mock.lastCall?.[0]).toContain('-H "authorization: Bearer $CONCORDANCE_KEY"');
    await click("button", "Copy as Python");
    expect(copied.mock.lastCall?.[0]).toContain(
      'api_key=os.environ.get("CONCORDANCE_KEY", "none")',
    );
    await says("Copied");
  });

  it("is shown, chosen, where the browser lets the page not copy", async () => {
    Reflect.deleteProperty(navigator, "clipboard");
    await open("/playground");
    await says("demo");
    await click("button", "Copy as curl");
    await appears("textarea[readonly]");
    const field = find<HTMLTextAreaElement>("textarea[readonly]");
    expect(field.value).toContain("/v1/chat/completions");
    expect(document.activeElement).toBe(field);
    expect(field.selectionEnd - field.selectionStart).toBe(field.value.length);
    await click("button", "Hide the text");
    expect(document.querySelector("textarea[readonly]")).toBeNull();
  });

  it("waits for a schema that is JSON, and says so", async () => {
    await open("/playground");
    await says("demo");
    await choose("json");
    await write("{");
    await says("To copy the request, mend the schema first");
    expect(find<HTMLButtonElement>("button", "Copy as curl").disabled).toBe(true);
    expect(find<HTMLButtonElement>("button", "Copy as Python").disabled).toBe(true);
    await write("{}");
    expect(find<HTMLButtonElement>("button", "Copy as curl").disabled).toBe(false);
  });
});

describe("an error inside a stream", () => {
  it.each([
    [500, "broken"],
    [503, "busy"],
    [404, "gone"],
    [422, "refused"],
    [undefined, "broken"],
  ])("is told by its code: %s is %s", async (code, kind) => {
    server.on(/completions$/, () => sse([{ error: { message: "no", code } }, "[DONE]"], false));
    const read = async () => {
      for await (const _ of chat({}, new AbortController().signal));
    };
    const error = await read().then(null, (thrown: unknown) => thrown as ApiError);
    expect(error).toMatchObject({ kind, message: "no" });
  });
});

describe("a replay", () => {
  let finish: (made: object) => void;
  let aborted: boolean;

  beforeEach(async () => {
    aborted = false;
    server.on(/^\/logs\/eventful$/, () => fixture("eventful").reply);
    server.on(/replay$/, (_, init) => {
      return new Promise((resolve, reject) => {
        finish = resolve;
        init.signal?.addEventListener("abort", () => {
          aborted = true;
          reject(new DOMException("aborted", "AbortError"));
        });
      });
    });
    await open("/requests/eventful");
    await says("Run it again");
    await click("button", "Run it again");
  });

  it("tells how long it runs, and can be stopped", async () => {
    await says("Running … 1 s");
    await click("button", "Stop");
    await says("It is not waited for any more");
    expect(aborted).toBe(true);
    expect(find<HTMLButtonElement>("button", "Run it again").disabled).toBe(false);
    expect(document.querySelector(".trouble")).toBeNull();
  });

  it("takes nobody away who has gone to another page", async () => {
    await says("Running …");
    await move("/playground");
    await says("demo");
    expect(aborted).toBe(true);
    await act(async () => finish({ request_id: "new" }));
    expect(location.pathname).toBe("/playground");
  });

  it("leads to the comparison when it ends", async () => {
    await says("Running …");
    await act(async () => finish({ request_id: "new" }));
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)));
    expect(location.pathname).toBe("/compare/eventful/new");
  });
});
