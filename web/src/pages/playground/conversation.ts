/** What the playground holds, for the life of the tab: other pages may be looked at meanwhile, and
 * an answer that is being written goes on. One exchange runs at a time. */

import { useSyncExternalStore } from "react";
import type { Message } from "../../api/chat.ts";
import { BEGUN, type Reply, receive, textOf } from "./reply.ts";
import { bodyOf, DEFAULTS, type Settings } from "./settings.ts";

export interface Turn {
  id: number;
  question: string;
  mods: string[];
  reply: Reply;
  /** The same without mods, where that was asked for. */
  bare: Reply | null;
}

type Side = "reply" | "bare";

interface Playground {
  settings: Settings;
  turns: Turn[];
  /** What is typed and not yet sent. */
  question: string;
  /** Whether to ask without mods, too. */
  beside: boolean;
  complaint: string;
}

const FRESH: Playground = {
  settings: DEFAULTS,
  turns: [],
  question: "",
  beside: false,
  complaint: "",
};

let state = FRESH;
let running = new AbortController();
let asked = 0;
const listeners = new Set<() => void>();

export function usePlayground(): Playground {
  return useSyncExternalStore(subscribe, () => state);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function change(changed: Partial<Playground>): void {
  state = { ...state, ...changed };
  for (const listener of listeners) listener();
}

export function changeSettings(changed: Partial<Settings>): void {
  change({ settings: { ...state.settings, ...changed } });
}

export const isBusy = (turns: Turn[]) =>
  turns.some(({ reply, bare }) => reply.state === "running" || bare?.state === "running");

/** Asks what is typed. */
export function send(): void {
  const { question, settings, turns, beside } = state;
  if (!question.trim() || !settings.model || isBusy(turns)) return;
  asked += 1;
  const sides: Side[] = beside && settings.mods.length ? ["reply", "bare"] : ["reply"];
  const turn = { id: asked, question, mods: settings.mods, reply: BEGUN, bare: null };
  if (run(turn, sides, turns)) change({ question: "" });
}

/** Asks again for what failed of the last turn, as things are set now. */
export function retry(): void {
  const { turns, settings } = state;
  const last = turns.at(-1);
  if (!last || isBusy(turns)) return;
  const failed = (["reply", "bare"] as const).filter((side) => last[side]?.state === "failed");
  const mods = failed.includes("reply") ? settings.mods : last.mods;
  run({ ...last, mods }, failed, turns.slice(0, -1));
}

export const stop = () => running.abort();

export function beginAnew(): void {
  stop();
  change({ turns: [], complaint: "" });
}

/** For tests: as in a tab that was just opened. */
export function forgetPlayground(): void {
  stop();
  change(FRESH);
}

/** Whether it could be asked: not with a schema that is no JSON. */
function run(turn: Turn, sides: Side[], before: Turn[]): boolean {
  const { settings } = state;
  const said = [...saidIn(before), { role: "user" as const, content: turn.question }];
  const bodyFor = (side: Side) =>
    bodyOf(side === "bare" ? { ...settings, mods: [] } : settings, said, true);
  let bodies: [Side, object][];
  try {
    bodies = sides.map((side) => [side, bodyFor(side)]);
  } catch (error) {
    change({ complaint: `The constraint is no JSON: ${(error as Error).message}` });
    return false;
  }
  running = new AbortController();
  const begun = Object.fromEntries(sides.map((side) => [side, BEGUN]));
  change({ turns: [...before, { ...turn, ...begun }], complaint: "" });
  for (const [side, body] of bodies) {
    void receive(body, running.signal, (reply) => hear(turn.id, { [side]: reply }));
  }
  return true;
}

/** A turn that is there no more hears nothing. */
function hear(id: number, heard: Partial<Turn>): void {
  change({ turns: state.turns.map((turn) => (turn.id === id ? { ...turn, ...heard } : turn)) });
}

/** What was said in these turns; one without an answer adds nothing. */
export function saidIn(turns: Turn[]): Message[] {
  return turns.flatMap((turn) => {
    const answer = textOf(turn.reply);
    if (!answer) return [];
    return [
      { role: "user", content: turn.question },
      { role: "assistant", content: answer },
    ];
  });
}
