/** Spans of time, those in which nothing was asked, too: the server leaves them out. */

import type { Statistics } from "../../api/logs.ts";

export const SPANS: Record<string, { hours: number; step: number }> = {
  day: { hours: 24, step: 1 },
  week: { hours: 168, step: 6 },
  month: { hours: 720, step: 24 },
};

/** More bars than that say nothing. */
const MOST = 400;

type Span = Statistics["requests"][number];

const EMPTY = {
  requests: 0,
  failed: 0,
  aborted: 0,
  sampled_tokens: 0,
  forced_tokens: 0,
  erased_tokens: 0,
  latencies: {},
};

/** step: hours of a span. The server's starts are kept; gaps between them, before the first
 * and after the last are filled. */
export function filled(told: Statistics, step: number, now = Date.now()): Span[] {
  const wide = step * 3_600_000;
  const spans: Span[] = before(told, wide);
  for (const span of told.requests) {
    const last = spans.at(-1);
    let next = last ? Date.parse(last.start) + wide : Date.parse(span.start);
    for (; next < Date.parse(span.start); next += wide) {
      spans.push({ ...EMPTY, start: new Date(next).toISOString() });
    }
    spans.push(span);
  }
  const last = Date.parse(spans.at(-1)?.start ?? "");
  const end = Math.min(now, Date.parse(told.until) || now, last + MOST * wide);
  for (let next = last + wide; next < end; next += wide) {
    spans.push({ ...EMPTY, start: new Date(next).toISOString() });
  }
  return spans;
}

/** Empty spans from where the time that was asked for begins to the first request. */
function before(told: Statistics, wide: number): Span[] {
  const first = Date.parse(told.requests[0]?.start ?? "");
  const asked = Date.parse(told.since);
  const missing = Math.max(0, Math.min(MOST, Math.floor((first - asked) / wide))) || 0;
  return Array.from({ length: missing }, (_, place) => ({
    ...EMPTY,
    start: new Date(first - (missing - place) * wide).toISOString(),
  }));
}

export function totals(told: Statistics) {
  const sum = (of: (span: Span) => number) =>
    told.requests.reduce((all, span) => all + of(span), 0);
  return {
    requests: sum((span) => span.requests),
    failed: sum((span) => span.failed),
    aborted: sum((span) => span.aborted),
    sampled: sum((span) => span.sampled_tokens),
    forced: sum((span) => span.forced_tokens),
    erased: sum((span) => span.erased_tokens),
  };
}
