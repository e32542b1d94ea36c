/** The filters of the list: they live in the address, under the names that the server knows. */

export const FILTERS = [
  "text",
  "model",
  "mod",
  "action",
  "status",
  "tag",
  "favourite",
  "since",
  "until",
  "min_latency",
  "max_latency",
  "min_tokens",
  "max_tokens",
  "caller",
  "parent_id",
  "sort",
] as const;

export type Filter = (typeof FILTERS)[number];
export type Filters = Partial<Record<Filter, string>>;

export const SORTS = ["newest", "oldest", "slowest", "fastest", "longest", "shortest"];
export const ACTIONS = [
  "force_tokens",
  "backtrack",
  "adjust_logits",
  "bias",
  "ban",
  "allow",
  "constrain",
  "adjust_prefill",
  "force_output",
  "tool_calls",
  "emit_error",
];

/** Spans that can be chosen by name, in hours. They are kept as `last=`, so that a link stays true. */
export const SPANS: Record<string, number> = { hour: 1, day: 24, week: 168 };

export function filtersOf(query: URLSearchParams): Filters {
  const found: Filters = {};
  for (const name of FILTERS) {
    const value = query.get(name);
    if (value) found[name] = value;
  }
  return found;
}

/** The span by name, if there is one. A moment in the same address goes before it. */
export const lastOf = (query: URLSearchParams) =>
  query.get("since") ? "" : (query.get("last") ?? "");

/** The address of the list with these filters. */
export function addressOf(filters: Filters, last = ""): string {
  const given = new URLSearchParams();
  for (const name of FILTERS) {
    const value = filters[name];
    if (value) given.set(name, value);
  }
  if (last) given.set("last", last);
  const query = given.toString();
  return query ? `/requests?${query}` : "/requests";
}

/** What the server is asked: a span by name becomes a moment, a local time one with a zone. */
export function asked(filters: Filters, last: string, now = Date.now()): Record<string, string> {
  const query: Record<string, string> = { ...filters };
  for (const name of ["since", "until"] as const) {
    const time = filters[name];
    if (time && !Number.isNaN(Date.parse(time))) query[name] = new Date(time).toISOString();
  }
  const hours = SPANS[last];
  if (hours) query.since = new Date(now - hours * 3_600_000).toISOString();
  return query;
}

/** Whether a request that ends now would belong at the top of the list. */
export const isLive = (filters: Filters) =>
  !filters.until && (filters.sort ?? "newest") === "newest";
