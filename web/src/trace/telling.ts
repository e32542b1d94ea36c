/** Events told from a story, as `server/traces/retelling.py` tells them: their numbers link the
 * mods' calls, and say when each token came in and when it went. */

import type { EventType, Story } from "../api/logs.ts";

export const SAMPLED = 0;
export const FORCED_MORE = 2;
export const OUTPUT = 3;
export const STAYED = -1;

/** first, count: the story's entries that it is about. position: output tokens at that time. */
export interface Told {
  type: EventType;
  step: number;
  position: number;
  first: number;
  count: number;
  forced: boolean;
}

export interface Telling {
  events: Told[];
  /** For each entry, the number of the event that showed it first. */
  born: Int32Array;
}

export function tell(story: Story): Telling {
  return new Teller(story).tell();
}

class Teller {
  private readonly events: Told[] = [];
  private readonly born: Int32Array;
  private readonly size: number;
  private readonly erasedAt = new Map<number, number>();
  private entry = 0;
  private alive = 0;

  constructor(private readonly story: Story) {
    this.size = story.tokens?.length ?? 0;
    this.born = new Int32Array(this.size);
    for (const event of story.erased ?? []) {
      if (event !== STAYED) this.erasedAt.set(event, (this.erasedAt.get(event) ?? 0) + 1);
    }
  }

  tell(): Telling {
    this.say("Prefilled", 0, 0, 0);
    const rounds = this.story.forward_passes ?? 0;
    for (let step = 0; step < rounds; step += 1) {
      this.say("ForwardPass", step, this.entry, 0);
      while (this.inRound(step)) {
        if (this.origin(this.entry) === SAMPLED) this.draw(step);
        else this.run(step);
      }
    }
    // What `force_output` put in came with the last event's answer.
    for (; this.entry < this.size; this.entry += 1, this.alive += 1) {
      this.born[this.entry] = this.events.length - 1;
    }
    this.say("Finished", Math.max(0, rounds - 1), this.entry, 0);
    return { events: this.events, born: this.born };
  }

  private draw(step: number): void {
    const entry = this.entry++;
    const number = this.events.length;
    const refused = this.story.erased?.[entry] === number;
    this.born[entry] = number;
    this.say("Sampled", step, entry, 1, refused ? 1 : 0);
    if (!refused) {
      this.alive += 1;
      this.say("Added", step, entry, 1);
    }
  }

  private run(step: number): void {
    const first = this.entry++;
    while (this.inRound(step) && this.origin(this.entry) === FORCED_MORE) this.entry += 1;
    this.born.fill(this.events.length, first, this.entry);
    this.alive += this.entry - first;
    this.say("Added", step, first, this.entry - first, 0, true);
  }

  /** pending: tokens that this event's answer drops before they came in. */
  private say(
    type: EventType,
    step: number,
    first: number,
    count: number,
    pending = 0,
    forced = false,
  ): void {
    const removed = this.erasedAt.get(this.events.length) ?? 0;
    this.events.push({ type, step, position: this.alive, first, count, forced });
    this.alive -= removed - pending;
  }

  private inRound(step: number): boolean {
    const entry = this.entry;
    return (
      entry < this.size && this.story.rounds?.[entry] === step && this.origin(entry) !== OUTPUT
    );
  }

  private origin(entry: number): number {
    return this.story.origins?.[entry] ?? SAMPLED;
  }
}
