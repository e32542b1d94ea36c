/** What each token reads as. The server is asked once for each id, and never twice. */

import { ask } from "./ask.ts";

const known = new Map<number, string>();
const MOST = 20_000;

/** A text for each of these ids, from what was asked before and from the server. */
export async function piecesOf(
  ids: Iterable<number>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<number, string>> {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  for (let start = 0; start < missing.length; start += MOST) {
    const asked = missing.slice(start, start + MOST);
    const told = await ask<{ pieces: string[] }>("/pieces", {
      method: "POST",
      body: { tokens: asked },
      signal,
    });
    for (const [index, id] of asked.entries()) known.set(id, told.pieces[index] ?? "");
  }
  return known;
}

/** For tests: as if nothing had been asked. */
export const forgetPieces = () => known.clear();
