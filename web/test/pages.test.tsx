import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Summary } from "../src/api/logs.ts";
import { fixture, summary } from "./fixtures.ts";
import { click, find, open, press, says, setUp, submit, tearDown, type } from "./page.ts";
import { type FakeServer, refusal, sse } from "./server.ts";

let server: FakeServer;

beforeEach(() => {
  server = setUp();
});
afterEach(tearDown);

const listed = (...rows: Summary[]) => ({ object: "list", data: rows, next: null });

describe("the list", () => {
  it("shows what the server has, and nothing of it as HTML", async () => {
    server.on(/^\/logs$/, () => listed(summary("one"), summary("two")));
    await open("/");
    await says("<b>output of two</b>");
    expect(document.querySelector("b")).toBeNull();
  });

  it("asks the server for what the address says", async () => {
    server.on(/^\/logs$/, () => listed());
    await open("/requests?mod=calm&status=failed");
    await says("No request fits these filters");
    const path = server.asked.find((each) => each.path.startsWith("/logs?"))?.path ?? "";
    expect(path).toContain("mod=calm");
    expect(path).toContain("status=failed");
  });

  it("puts a search into the address", async () => {
    server.on(/^\/logs$/, () => listed());
    await open("/requests");
    await says("No request has been made yet");
    await type("input[type=search]", "pears -apples");
    await submit("form.filters");
    expect(location.search).toBe("?text=pears+-apples");
    await says("No request fits these filters");
  });

  it("takes in what ends while one looks", async () => {
    let rows = [summary("old")];
    server.on(/^\/logs$/, () => listed(...rows));
    server.on(/^\/logs\/stream/, () => {
      rows = [summary("new"), summary("old")];
      return sse([{ type: "ended", request_id: "new", status: "stop", text: "" }]);
    });
    await open("/requests");
    await says("prompt of new");
    expect(find(".request.fresh").textContent).toContain("prompt of new");
  });

  it("offers to compare two that were chosen", async () => {
    server.on(/^\/logs$/, () => listed(summary("one"), summary("two")));
    await open("/requests");
    await says("prompt of two");
    await click('input[aria-label="Compare this one"]');
    await says("Choose one more");
    await click('.request:nth-child(2) input[aria-label="Compare this one"]');
    expect(find<HTMLAnchorElement>("a.button", "Compare").getAttribute("href")).toBe(
      "/compare/one/two",
    );
  });

  it("takes a star back where the server does not take it", async () => {
    server.on(/^\/logs$/, () => listed(summary("one")));
    server.on(/favourite$/, () => refusal(503, "Postgres is away"));
    await open("/requests");
    await says("prompt of one");
    await click("button.star");
    await says("Postgres is away");
    expect(find("button.star").textContent).toBe("☆");
  });

  it.each([
    [() => Promise.reject(new TypeError("refused")), "The server does not answer"],
    [() => refusal(503, "Postgres is away", { type: "trace_away" }), "cannot read its traces"],
    [() => refusal(400, "unknown filter"), "unknown filter"],
    [() => refusal(500, "oops"), "Something went wrong in the server"],
  ])("says in words what is wrong, and goes on when asked", async (trouble, words) => {
    let fails = true;
    server.on(/^\/logs$/, () => (fails ? trouble() : listed(summary("one"))));
    await open("/requests");
    await says(words);
    fails = false;
    await click("button", "Try again");
    await says("prompt of one");
  });

  it("asks for a key where the server wants one, and uses it", async () => {
    server.on(/^\/logs$/, (_, init) =>
      new Headers(init.headers).get("authorization") === "Bearer good"
        ? listed(summary("one"))
        : refusal(401, "a valid API key is needed"),
    );
    await open("/requests");
    await says("This server wants a key");
    await type("input[type=password]", "good");
    await submit(".trouble form");
    await says("prompt of one");
  });
});

describe("a request", () => {
  const { reply } = fixture("eventful");
  beforeEach(() => {
    server.on(/^\/logs\/eventful$/, () => reply);
  });

  it("says what happened, shows its tokens, and nothing as HTML", async () => {
    await open("/requests/eventful");
    await says("calm put tokens in once, took tokens back once.");
    await says(" t21");
    await says("<script>alert(1)</script>");
    expect(document.querySelector("script, i")).toBeNull();
    expect(document.querySelectorAll(".strip .token.gone")).toHaveLength(3);
  });

  it("tells of a token what else could have come", async () => {
    await open("/requests/eventful");
    await says(" t11");
    await click(".strip .token", " t11");
    await says("drawn by the model");
    expect(find(".alternatives").textContent).toContain(" t61");
    await click(".strip .token", " t13");
    await says("calm took it out in round 2");
  });

  it("goes from action to action with the keyboard, and the strip goes along", async () => {
    await open("/requests/eventful");
    await says(" t15");
    await press("n");
    expect(find(".happening.at").textContent).toContain("force_tokens");
    expect(document.querySelector(".strip")?.textContent).not.toContain(" t15");
    await press("n");
    expect(find(".happening.at").textContent).toContain("backtrack");
    await press("p");
    expect(find(".happening.at").textContent).toContain("force_tokens");
  });

  it("folds what was erased", async () => {
    await open("/requests/eventful");
    await says(" t13");
    await click("label input[type=checkbox]");
    expect(document.querySelector(".strip")?.textContent).toContain("−1");
  });

  it("keeps a note, about the round that is looked at", async () => {
    server.on(/notes$/, (_, init) => ({
      id: 7,
      caller: "local",
      created_at: "2026-03-01T12:00:00Z",
      ...JSON.parse(String(init.body)),
    }));
    await open("/requests/eventful");
    await says(" t11");
    await click(".strip .token", " t15");
    await type("textarea", "odd");
    await submit('section[aria-label="Notes"] form');
    await says("local,");
    expect(server.asked.at(-1)?.body).toEqual({ text: "odd", step: 4 });
  });

  it("is run again from here under other mods, and leads to the two aligned", async () => {
    server.on(/^\/logs\/again$/, () => reply);
    server.on(/replay$/, () => ({ request_id: "again", parent_id: "eventful" }));
    server.on(/diff/, () => ({
      a: "eventful",
      b: "again",
      same: 1,
      tokens_a: [{ token: 11, origin: "sampled" }],
      tokens_b: [
        { token: 11, origin: "sampled" },
        { token: 12, origin: "forced", mod: "calm" },
      ],
      blocks: [
        { kind: "equal", a: [0, 1], b: [0, 1] },
        { kind: "insert", a: [1, 1], b: [1, 2] },
      ],
    }));
    await open("/requests/eventful");
    await says(" t11");
    await click(".strip .token", " t14");
    await click('section[aria-label="Replay"] label:nth-of-type(2) input');
    await click('section[aria-label="Replay"] input[type=checkbox]');
    await type('input[aria-label="Mods, separated by commas"]', "");
    await click("button", "Run it again");
    await says("They begin with the same token, and differ in 1 place");
    expect(server.asked.find((each) => each.path.endsWith("replay"))?.body).toEqual({
      step: 3,
      mods: [],
    });
    expect(document.querySelectorAll(".token.differs")).toHaveLength(1);
  });

  it("that was deleted says so, and leads on", async () => {
    server.on(/^\/logs\/gone$/, () => refusal(404, "there is no trace 'gone'"));
    await open("/requests/gone");
    await says("This is not there");
    expect(find("a", "All requests").getAttribute("href")).toBe("/requests");
  });

  it("shows numbers where the texts cannot be had", async () => {
    server.on(/^\/pieces$/, () => refusal(500, "no tokenizer"));
    await open("/requests/eventful");
    await says("their numbers are shown");
    await says("#11");
  });

  it("without any token opens, too", async () => {
    server.on(/^\/logs\/nothing$/, () => ({
      ...fixture("nothing").reply,
      request: { ...fixture("nothing").reply.request, user_prompt_token_ids: [] },
    }));
    await open("/requests/nothing");
    await says("This trace has no tokens");
    await says("It was aborted");
  });

  it("of ten thousand tokens has only those in sight in the document", async () => {
    const size = 10_000;
    const many = {
      ...reply,
      actions: [],
      failures: [],
      mod_logs: [],
      calls: {},
      story: {
        tokens: Array.from({ length: size }, (_, n) => 100 + (n % 50)),
        origins: Array.from({ length: size }, () => 0),
        mods: Array.from({ length: size }, () => -1),
        rounds: Array.from({ length: size }, (_, n) => n),
        times: Array.from({ length: size }, (_, n) => n * 1000),
        probabilities: Array.from({ length: size }, () => 0.5),
        erased: Array.from({ length: size }, () => -1),
        forward_passes: size,
      },
    };
    server.on(/^\/logs\/many$/, () => many);
    await open("/requests/many");
    await says(" t100");
    const drawn = document.querySelectorAll(".strip .token").length;
    expect(drawn).toBeGreaterThan(50);
    expect(drawn).toBeLessThan(1_500);
  });
});

it("an address that is no page says so", async () => {
  await open("/nowhere");
  await says("There is no such page");
});
