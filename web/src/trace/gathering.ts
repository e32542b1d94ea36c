/** Some records from outside have events that do not follow from their story. Those are told then,
 * taken in as by `_Gathering` of `server/traces/retelling.py`. */

import type { RecordEvent, Story } from "../api/logs.ts";
import { type Telling, type Told, tell } from "./telling.ts";

/** events: the record's own, where they do not follow from the story. */
export function tellingOf(story: Story, events?: readonly RecordEvent[]): Telling {
  return events ? gather(events, story) : tell(story);
}

function gather(events: readonly RecordEvent[], { tokens = [] }: Story): Telling {
  const told: Told[] = [];
  const born = new Int32Array(tokens.length);
  let entry = 0;
  let gone = 0;
  let pending = false;
  for (const [number, event] of events.entries()) {
    const { event_type: type, step, forced = false } = event;
    const { added_tokens: added = [], removed_tokens: removed = [] } = event;
    const confirmed = pending && !forced && added.length === 1 && added[0] === tokens[entry - 1];
    const drawn = type === "Sampled" ? 1 : 0;
    const entered = type === "Added" && !confirmed ? added.length : drawn;
    const count = type === "Added" ? added.length : drawn;
    born.fill(number, entry, entry + entered);
    entry += entered;
    const position = event.position ?? entry - drawn - gone;
    told.push({ type, step, position, first: entry - count, count, forced });
    if (type === "Sampled" || type === "Added") pending = type === "Sampled";
    if (removed.length) pending = false;
    gone += removed.length;
    const output = event.output_tokens?.length ?? 0;
    born.fill(number, entry, entry + output);
    entry += output;
  }
  return { events: told, born };
}
