/** What each token reads as. The server is asked once for each id, and again once it serves other
 * models: a tab may stay open over that. */

import { ask } from "./ask.ts";
import { servedModels } from "./chat.ts";

export type Pieces = ReadonlyMap<number, string>;

/** foreign: they are of a model that is not served here, so nobody knows what they read as. */
export interface Texts {
  pieces: Pieces;
  foreign: boolean;
}

let known = new Map<number, string>();
let knownOf = "";
const NONE: Pieces = new Map();
const MOST = 20_000;

/** What tokens of the models that are served read as. */
export async function piecesOf(ids: Iterable<number>, signal?: AbortSignal): Promise<Pieces> {
  return asked(await servedModels(signal), ids, signal);
}

/** What tokens of a model read as. */
export async function textsOf(
  model: string,
  ids: Iterable<number>,
  signal?: AbortSignal,
): Promise<Texts> {
  const wanted = new Set(ids);
  if (wanted.size === 0) return { pieces: NONE, foreign: false };
  const served = await servedModels(signal);
  if (!served.includes(model)) return { pieces: NONE, foreign: true };
  return { pieces: await asked(served, wanted, signal), foreign: false };
}

/** What a token reads as, its number where that is not known. */
export function pieceOf(pieces: Pieces, token: number): string {
  return pieces.get(token) ?? `#${token}`;
}

async function asked(
  served: string[],
  ids: Iterable<number>,
  signal?: AbortSignal,
): Promise<Pieces> {
  const models = served.join("\n");
  if (models !== knownOf) {
    knownOf = models;
    known = new Map();
  }
  const texts = known;
  const missing = [...new Set(ids)].filter((id) => !texts.has(id));
  for (let start = 0; start < missing.length; start += MOST) {
    const tokens = missing.slice(start, start + MOST);
    const told = await ask<{ pieces: string[] }>("/pieces", {
      method: "POST",
      body: { tokens },
      signal,
    });
    for (const [index, id] of tokens.entries()) texts.set(id, told.pieces[index] ?? "");
  }
  return texts;
}

/** For tests: as if nothing had been asked. */
export const forgetPieces = () => {
  known = new Map();
};
