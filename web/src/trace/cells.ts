/** The strip's cells: the prompt's tokens, then every token that was drawn or put in. */

import type { Trace } from "../api/logs.ts";
import { type Pieces, pieceOf } from "../api/pieces.ts";
import { SAMPLED, STAYED, type Telling } from "./telling.ts";

export type Origin = "prompt" | "sampled" | "forced";

/** One token. entry: its place in the answer, -1 in the prompt. step: its round, -1 where it has none.
 * born, erased: numbers of events; erased is `STAYED` for what is in the output. */
export interface Cell {
  token: number;
  text: string;
  origin: Origin;
  entry: number;
  step: number;
  mod: number;
  probability: number | null;
  entropy: number | null;
  margin: number | null;
  milliseconds: number | null;
  born: number;
  erased: number;
}

const NOTHING = { probability: null, entropy: null, margin: null, milliseconds: null };

export function cellsOf(trace: Trace, telling: Telling, pieces: Pieces): Cell[] {
  const cells: Cell[] = (trace.request.user_prompt_token_ids ?? []).map((token) => ({
    token,
    text: pieceOf(pieces, token),
    origin: "prompt",
    entry: -1,
    step: -1,
    mod: -1,
    ...NOTHING,
    born: 0,
    erased: STAYED,
  }));
  const { story } = trace;
  const times = story.times ?? [];
  const last = Math.max(0, telling.events.length - 1);
  for (const [entry, token] of answerOf(trace).entries()) {
    const sampled = (story.origins?.[entry] ?? SAMPLED) === SAMPLED;
    cells.push({
      token,
      text: pieceOf(pieces, token),
      origin: sampled ? "sampled" : "forced",
      entry,
      step: story.rounds?.[entry] ?? -1,
      mod: story.mods?.[entry] ?? -1,
      probability: story.probabilities?.[entry] ?? null,
      entropy: story.entropies?.[entry] ?? null,
      margin: marginOf(story.top_probabilities?.[entry]),
      milliseconds: between(times[entry - 1] ?? (entry === 0 ? 0 : null), times[entry] ?? null),
      born: telling.born[entry] ?? last,
      erased: story.erased?.[entry] ?? STAYED,
    });
  }
  return cells;
}

/** A record without a story may have its output all the same; it counts as sampled. */
function answerOf({ story, request }: Trace): readonly number[] {
  return story.tokens?.length ? story.tokens : (request.final_token_ids ?? []);
}

/** How much likelier the best token was than the second. */
function marginOf(probabilities: number[] | undefined): number | null {
  if (!probabilities?.length) return null;
  return (probabilities[0] ?? 0) - (probabilities[1] ?? 0);
}

function between(start: number | null, end: number | null): number | null {
  return start === null || end === null ? null : Math.max(0, end - start) / 1000;
}

/** The ids whose texts a trace's page needs. */
export function idsOf(trace: Trace): Set<number> {
  const ids = new Set<number>(trace.request.user_prompt_token_ids ?? []);
  for (const token of answerOf(trace)) ids.add(token);
  for (const top of trace.story.top_tokens ?? []) for (const token of top) ids.add(token);
  for (const action of trace.actions) {
    for (const token of action.tokens ?? []) ids.add(token);
    for (const token of action.before ?? []) ids.add(token);
  }
  return ids;
}

export type Presence = "absent" | "here" | "gone";

/** Whether a cell is there once the event of this number was answered; Infinity for the end. */
export function presence(cell: Cell, event: number): Presence {
  if (cell.born > event) return "absent";
  return cell.erased !== STAYED && cell.erased <= event ? "gone" : "here";
}
