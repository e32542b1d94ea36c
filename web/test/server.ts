/** A server of no size: answers by path, and keeps what it was asked. */

import { vi } from "vitest";

export type Answer = (url: URL, init: RequestInit) => unknown;

export class FakeServer {
  readonly asked: { method: string; path: string; body: unknown }[] = [];
  private readonly answers: [RegExp, Answer][] = [];

  constructor() {
    vi.stubGlobal("fetch", async (path: string, init: RequestInit = {}) => this.answer(path, init));
    this.on(/^\/logs\/stream/, () => sse([]));
    this.on(/^\/v1\/models$/, () => ({ data: [{ id: "demo" }] }));
    this.on(/^\/pieces$/, (_, init) => {
      const { tokens } = JSON.parse(String(init.body)) as { tokens: number[] };
      return { pieces: tokens.map((token) => ` t${token}`) };
    });
  }

  /** The newest answer for a path is the one that is given. */
  on(path: RegExp, answer: Answer): this {
    this.answers.unshift([path, answer]);
    return this;
  }

  private async answer(path: string, init: RequestInit): Promise<Response> {
    const url = new URL(path, "http://server");
    const body: unknown = init.body ? JSON.parse(String(init.body)) : undefined;
    this.asked.push({ method: init.method ?? "GET", path, body });
    for (const [pattern, answer] of this.answers) {
      if (!pattern.test(url.pathname)) continue;
      const given = await answer(url, init);
      return given instanceof Response ? given : Response.json(given);
    }
    return refusal(404, `nothing at ${path}`);
  }
}

export function refusal(status: number, message: string, more: object = {}): Response {
  return Response.json(
    { error: { message, type: "x", param: null, code: status, ...more } },
    { status },
  );
}

/** A stream of events. open: it goes on after them, for ever. */
export function sse(messages: unknown[], open = true): Response {
  const text = messages
    .map(
      (message) => `data: ${typeof message === "string" ? message : JSON.stringify(message)}\n\n`,
    )
    .join("");
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode(text));
      if (!open) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}
