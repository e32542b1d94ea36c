/** Server-sent events, read with `fetch`, because `EventSource` can send no key. */

import { send } from "./ask.ts";
import { ApiError } from "./errors.ts";

export interface ServerEvent {
  event: string;
  data: string;
}

/** Cuts a text that comes in pieces into events. */
export class EventParser {
  private rest = "";

  take(piece: string): ServerEvent[] {
    const blocks = (this.rest + piece).replace(/\r\n?/g, "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parse).filter((event) => event !== null);
  }
}

function parse(block: string): ServerEvent | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { event, data: data.join("\n") } : null;
}

/** Events until the stream ends. Raises `ApiError`; `cut` where the connection broke. */
export async function* events(
  path: string,
  signal: AbortSignal,
  body?: unknown,
  onOpen?: () => void,
): AsyncGenerator<ServerEvent> {
  const reply = await send(path, {
    method: body === undefined ? "GET" : "POST",
    body,
    signal,
  });
  if (reply.body === null) throw new ApiError("broken", "the server's answer is empty");
  onOpen?.();
  const parser = new EventParser();
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (true) {
      const { done, value } = await next(reader, signal);
      if (done) return;
      yield* parser.take(value);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

async function next(reader: ReadableStreamDefaultReader<string>, signal: AbortSignal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError("cut", "the connection broke before the answer was whole");
  }
}
