/** One answer as it grows: its pieces, and those that were taken back, which stay in sight. */

import { chat, type Said } from "../../api/chat.ts";
import { type ApiError, asApiError } from "../../api/errors.ts";

export interface Piece {
  text: string;
  gone: boolean;
}

export interface Reply {
  id: string;
  pieces: Piece[];
  tools: unknown[];
  usage: Record<string, unknown> | null;
  reason: string;
  state: "running" | "done" | "failed" | "stopped";
  error: ApiError | null;
}

export const BEGUN: Reply = {
  id: "",
  pieces: [],
  tools: [],
  usage: null,
  reason: "",
  state: "running",
  error: null,
};

export const textOf = (reply: Reply) =>
  reply.pieces
    .filter((piece) => !piece.gone)
    .map((piece) => piece.text)
    .join("");

export function hear(reply: Reply, said: Said): Reply {
  switch (said.type) {
    case "id":
      return { ...reply, id: said.id };
    case "text":
      return { ...reply, pieces: [...reply.pieces, { text: said.text, gone: false }] };
    case "removed":
      return { ...reply, pieces: without(reply.pieces, said.text.length) };
    case "tools":
      return { ...reply, tools: [...reply.tools, said.calls] };
    case "usage":
      return { ...reply, usage: said.usage };
    case "finished":
      return { ...reply, reason: said.reason };
  }
}

/** The newest so many characters are gone; a piece that they begin within is parted. */
export function without(pieces: Piece[], characters: number): Piece[] {
  const changed: Piece[] = [];
  for (const piece of pieces.toReversed()) {
    if (piece.gone || characters === 0) {
      changed.push(piece);
      continue;
    }
    const going = Math.min(characters, piece.text.length);
    const stays = piece.text.length - going;
    characters -= going;
    changed.push({ text: piece.text.slice(stays), gone: true });
    if (stays) changed.push({ text: piece.text.slice(0, stays), gone: false });
  }
  return changed.reverse();
}

/** Asks, and tells of every change until the end. Raises nothing. */
export async function receive(
  body: object,
  signal: AbortSignal,
  tell: (reply: Reply) => void,
): Promise<Reply> {
  let reply = BEGUN;
  try {
    for await (const said of chat(body, signal)) {
      reply = hear(reply, said);
      tell(reply);
    }
    reply = { ...reply, state: "done" };
  } catch (thrown) {
    reply = signal.aborted
      ? { ...reply, state: "stopped" }
      : { ...reply, state: "failed", error: asApiError(thrown) };
  }
  tell(reply);
  return reply;
}
