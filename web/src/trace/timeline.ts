/** What happened, in order: events, and under each what mods answered, printed and got wrong. */

import type { Action, Failure, ModLog, Note, Trace } from "../api/logs.ts";
import type { Telling, Told } from "./telling.ts";

export type Row =
  | { kind: "event"; event: number; told: Told; calls: number; micros: number | null }
  | { kind: "action"; event: number; action: Action; micros: number | null }
  | { kind: "log"; event: number; log: ModLog }
  | { kind: "failure"; event: number; failure: Failure; mod: string }
  | { kind: "note"; event: number; note: Note };

/** What a row is about: the same object as long as the trace is the same, whatever is noted. */
export function subjectOf(row: Row): object {
  switch (row.kind) {
    case "event":
      return row.told;
    case "action":
      return row.action;
    case "log":
      return row.log;
    case "failure":
      return row.failure;
    case "note":
      return row.note;
  }
}

/** everything: the events, too, in which no mod did anything. */
export function timelineOf(trace: Trace, telling: Telling, everything: boolean): Row[] {
  const { calls } = trace;
  const eventOf = (call: number | null | undefined, step?: number | null) =>
    call === null || call === undefined
      ? eventOfStep(telling, step ?? null)
      : (calls.events?.[call] ?? 0);
  const microsOf = (call: number | null | undefined) =>
    call === null || call === undefined ? null : (calls.micros?.[call] ?? null);
  const under = new Map<number, Row[]>();
  const put = (row: Row) => {
    const rows = under.get(row.event);
    if (rows) rows.push(row);
    else under.set(row.event, [row]);
  };
  for (const log of trace.mod_logs) {
    put({ kind: "log", event: eventOf(log.mod_call_sequence), log });
  }
  for (const action of trace.actions) {
    const event = eventOf(action.mod_call_sequence, action.step);
    put({ kind: "action", event, action, micros: microsOf(action.mod_call_sequence) });
  }
  for (const failure of trace.failures) {
    const mod = trace.request.mods?.[calls.mods?.[failure.call] ?? -1]?.name ?? "";
    put({ kind: "failure", event: eventOf(failure.call), failure, mod });
  }
  for (const note of trace.notes) {
    put({ kind: "note", event: eventOfStep(telling, note.step), note });
  }
  return everything
    ? telling.events.flatMap((told, event) => [
        eventRow(trace, told, event),
        ...(under.get(event) ?? []),
      ])
    : [...under.entries()].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows);
}

/** Rows at which a person wants to stop: what mods did and what went wrong. */
export function stops(rows: readonly Row[]): number[] {
  return rows.flatMap((row, index) =>
    row.kind === "action" || row.kind === "failure" ? [index] : [],
  );
}

/** The event at which one sees what a row did: tokens that an action put in, and the one whose draw
 * it shaped, come with the next. */
export function effectOf(row: Row, telling: Telling): number {
  if (row.kind !== "action" || row.action.overridden) return row.event;
  const here = telling.events[row.event];
  const next = telling.events[row.event + 1];
  const put = row.action.tokens?.length && next?.type === "Added" && next.forced;
  const drawn = here?.type === "ForwardPass" && next?.type === "Sampled";
  return put || drawn ? row.event + 1 : row.event;
}

/** The number of the event with which a round begins; the last event where there is none. */
export function eventOfStep(telling: Telling, step: number | null): number {
  if (step === null) return Math.max(0, telling.events.length - 1);
  const found = telling.events.findIndex(
    (event) => event.type !== "Prefilled" && event.step === step,
  );
  return found < 0 ? Math.max(0, telling.events.length - 1) : found;
}

function eventRow(trace: Trace, told: Told, event: number): Row {
  const found = callsOf(trace).get(event);
  return { kind: "event", event, told, calls: found?.calls ?? 0, micros: found?.micros ?? null };
}

const counted = new WeakMap<Trace, Map<number, { calls: number; micros: number }>>();

/** How many calls each event had, and their microseconds together. */
function callsOf(trace: Trace): Map<number, { calls: number; micros: number }> {
  let sums = counted.get(trace);
  if (!sums) {
    sums = new Map();
    for (const [call, event] of (trace.calls.events ?? []).entries()) {
      const sum = sums.get(event) ?? { calls: 0, micros: 0 };
      sum.calls += 1;
      sum.micros += trace.calls.micros?.[call] ?? 0;
      sums.set(event, sum);
    }
    counted.set(trace, sums);
  }
  return sums;
}
