import { afterEach, describe, expect, it, vi } from "vitest";
import { ask } from "../src/api/ask.ts";
import { ApiError, errorOf } from "../src/api/errors.ts";
import { EventParser, events } from "../src/api/events.ts";
import { setKey } from "../src/api/key.ts";
import type { Summary } from "../src/api/logs.ts";
import { match } from "../src/app/location.ts";
import { addressOf, asked, filtersOf } from "../src/pages/requests/filters.ts";
import { EMPTY, type Listing, reduce } from "../src/pages/requests/listing.ts";
import { pathOf } from "../src/parts/Series.tsx";
import { windowOf } from "../src/parts/VirtualList.tsx";

afterEach(() => {
  vi.unstubAllGlobals();
  setKey("", false);
});

const answers = (reply: () => Promise<Response>) => vi.stubGlobal("fetch", vi.fn(reply));

async function failure(work: Promise<unknown>): Promise<ApiError> {
  return work.then(
    () => expect.fail("it should have failed"),
    (error: unknown) => error as ApiError,
  );
}

describe("asking", () => {
  it.each([
    [401, "locked"], [403, "locked"], [404, "gone"], [503, "busy"], [429, "busy"], [422, "refused"], [500, "broken"],
  ])("tells a %i apart as %s, with the server's words", async (status, kind) => {
    const body = JSON.stringify({ error: { message: "words", param: "field", line: 3 } });
    answers(async () => new Response(body, { status }));
    const error = await failure(ask("/x"));
    expect([error.kind, error.message, error.param, error.line]).toEqual([kind, "words", "field", 3]);
  }); // biome-ignore format: a table

  it("says that the server is away where there is no answer", async () => {
    answers(() => Promise.reject(new TypeError("failed")));
    expect((await failure(ask("/x"))).kind).toBe("away");
  });

  it("says that the server is slow where the answer does not come in time", async () => {
    vi.stubGlobal(
      "fetch",
      (_: string, { signal }: RequestInit) =>
        new Promise((_, refuse) =>
          signal?.addEventListener("abort", () => refuse(new Error("stop"))),
        ),
    );
    expect((await failure(ask("/x", { patience: 5 }))).kind).toBe("slow");
  });

  it("sends the key that the person gave", async () => {
    answers(async () => new Response("{}"));
    setKey("secret", false);
    await ask("/x");
    expect(vi.mocked(fetch).mock.calls[0]?.[1]?.headers).toEqual({
      authorization: "Bearer secret",
    });
  });

  it("reads errors of any shape", () => {
    expect(errorOf(500, "<html>").message).toBe("<html>");
    expect(errorOf(500, "").message).toContain("500");
    expect(errorOf(404, '{"detail":"Not Found"}').message).toBe("Not Found");
  });
});

describe("streams", () => {
  it("are cut into the same events wherever the pieces end", () => {
    const text = 'data: {"a":1}\n\n: nothing\n\nevent: error\ndata: x\ndata: y\n\ndata: last\n\n';
    const whole = new EventParser().take(text);
    expect(whole).toHaveLength(3);
    expect(whole[1]).toEqual({ event: "error", data: "x\ny" });
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parser = new EventParser();
      expect([...parser.take(text.slice(0, cut)), ...parser.take(text.slice(cut))]).toEqual(whole);
    }
  });

  it("that break say so", async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new TypeError("network")),
    });
    answers(async () => new Response(broken));
    const read = async () => {
      for await (const _ of events("/x", new AbortController().signal)) expect.fail("no event");
    };
    expect((await failure(read())).kind).toBe("cut");
  });
});

describe("addresses", () => {
  it("name their parts, and fit whole or not at all", () => {
    expect(match("/requests/:id", "/requests/a%2Fb")).toEqual({ id: "a/b" });
    expect(match("/requests/:id", "/requests")).toBeNull();
    expect(match("/requests/:id", "/requests/%zz")).toEqual({ id: "%zz" });
    expect(match("/", "/")).toEqual({});
  });

  it("keep the filters, and only those", () => {
    const query = new URLSearchParams("text=a b&mod=calm&unknown=1&status=");
    expect(filtersOf(query)).toEqual({ text: "a b", mod: "calm" });
    expect(addressOf(filtersOf(query), "day")).toBe("/requests?text=a+b&mod=calm&last=day");
    expect(addressOf({})).toBe("/requests");
  });

  it("ask the server for moments with a zone", () => {
    const now = Date.parse("2026-03-02T00:00:00Z");
    expect(asked({}, "day", now)).toEqual({ since: "2026-03-01T00:00:00.000Z" });
    expect(asked({ until: "2026-03-01T10:00Z" }, "", now).until).toBe("2026-03-01T10:00:00.000Z");
  });
});

describe("the list", () => {
  const row = (request_id: string) => ({ request_id }) as Summary;
  const page = (next: string | null, ...ids: string[]) => ({ data: ids.map(row), next });
  const first = { type: "page", page: page("cursor", "b", "a"), after: null } as const;
  const start = reduce({ ...EMPTY, name: "" }, first);
  const more = reduce(start, { type: "more" });
  const ids = (listing: Listing) => listing.rows.map((each) => each.request_id);

  it("at its top is the first page as it is now, the new ones marked", () => {
    const newest = page("other", "c", "b");
    const changed = reduce(start, { type: "newest", page: newest, atTop: true });
    expect(ids(changed)).toEqual(["c", "b"]);
    expect([...changed.fresh]).toEqual(["c"]);
    expect(changed.next).toBe("other");
  });

  it("stays as it is further down, and counts what is new", () => {
    const newest = page("later", "z", "y");
    const changed = reduce(start, { type: "newest", page: newest, atTop: false });
    expect(changed).toEqual({ ...start, newer: 2 });
  });

  it("goes on behind", () => {
    const changed = reduce(more, { type: "page", page: page(null, "0"), after: "cursor" });
    expect(ids(changed)).toEqual(["b", "a", "0"]);
    expect(changed.next).toBeNull();
  });

  it("takes no answer that was asked for before its first page was taken anew", () => {
    const anew = reduce(more, { type: "newest", page: page("later", "z", "y"), atTop: true });
    expect(reduce(anew, { type: "page", page: page(null, "0"), after: "cursor" })).toBe(anew);
    expect(reduce(anew, first)).toBe(anew);
    const error = new ApiError("away", "no");
    expect(reduce(anew, { type: "failed", error, after: "cursor" })).toBe(anew);
  });

  it("keeps what it has when the next page fails", () => {
    const error = new ApiError("away", "no");
    const failed = reduce(more, { type: "failed", error, after: "cursor" });
    expect(failed).toEqual({ ...start, error });
  });
});

describe("drawing", () => {
  it("draws rows in sight only", () => {
    const { first, last } = windowOf(50_000, 500, 50, 1_000_000);
    expect(first).toBeLessThanOrEqual(1_000);
    expect(last - first).toBeLessThan(40);
    expect(windowOf(0, 500, 50, 3)).toEqual({ first: 0, last: 3 });
  });

  it("breaks a line where values are missing, and keeps it short for many", () => {
    expect(pathOf([1, null, 1], 1).match(/M/g)).toHaveLength(2);
    expect(
      pathOf(
        Array.from({ length: 10_000 }, (_, n) => n % 7),
        7,
      ).length,
    ).toBeLessThan(20_000);
  });
});
