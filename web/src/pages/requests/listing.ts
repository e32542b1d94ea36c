/** The list itself: its pages, one after the other, and the newest as they come. */

import { useCallback, useEffect, useReducer, useRef } from "react";
import { type ApiError, asApiError } from "../../api/errors.ts";
import { onKey } from "../../api/key.ts";
import { listLogs, type Summary } from "../../api/logs.ts";

const PAGE = 100;

export interface Listing {
  name: string;
  rows: Summary[];
  next: string | null;
  state: "loading" | "slow" | "more" | "idle";
  error: ApiError | null;
  /** Ids that came while one was looking: they slide in. */
  fresh: ReadonlySet<string>;
}

export type Change =
  | { type: "asking"; name: string }
  | { type: "slow" }
  | { type: "page"; rows: Summary[]; next: string | null }
  | { type: "more" }
  | { type: "rest"; rows: Summary[]; next: string | null }
  | { type: "newest"; rows: Summary[]; next: string | null }
  | { type: "failed"; error: ApiError }
  | { type: "changed"; row: Summary };

export const EMPTY: Listing = {
  name: "",
  rows: [],
  next: null,
  state: "loading",
  error: null,
  fresh: new Set(),
};

export function reduce(listing: Listing, change: Change): Listing {
  switch (change.type) {
    case "asking":
      return change.name === listing.name
        ? { ...listing, state: "loading", error: null }
        : { ...EMPTY, name: change.name };
    case "slow":
      return listing.state === "loading" ? { ...listing, state: "slow" } : listing;
    case "page":
      return { ...listing, rows: change.rows, next: change.next, state: "idle", error: null };
    case "more":
      return { ...listing, state: "more", error: null };
    case "rest":
      return {
        ...listing,
        rows: joined(listing.rows, change.rows),
        next: change.next,
        state: "idle",
      };
    case "newest":
      return withNewest(listing, change.rows, change.next);
    case "failed":
      return { ...listing, state: "idle", error: change.error };
    case "changed":
      return {
        ...listing,
        rows: listing.rows.map((row) =>
          row.request_id === change.row.request_id ? change.row : row,
        ),
      };
  }
}

/** A page behind others. One that came twice, because the list moved, is kept once. */
function joined(rows: Summary[], more: Summary[]): Summary[] {
  const known = new Set(rows.map((row) => row.request_id));
  return [...rows, ...more.filter((row) => !known.has(row.request_id))];
}

function withNewest(listing: Listing, newest: Summary[], next: string | null): Listing {
  const known = new Set(listing.rows.map((row) => row.request_id));
  const fresh = newest.filter((row) => !known.has(row.request_id));
  if (!fresh.length) return listing;
  const marked = { ...listing, fresh: new Set(fresh.map((row) => row.request_id)) };
  // More came than a page holds: begin anew rather than leave a gap.
  if (fresh.length === newest.length && next !== null) return { ...marked, rows: newest, next };
  return { ...marked, rows: joined(fresh, listing.rows) };
}

export function useListing(name: string, query: () => Record<string, string>) {
  const [listing, change] = useReducer(reduce, EMPTY);
  const latest = useRef(query);
  latest.current = query;
  const running = useRef<AbortController>(null);

  const begin = useCallback(() => {
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    const slow = setTimeout(() => change({ type: "slow" }), 2_500);
    change({ type: "asking", name });
    listLogs({ ...latest.current(), limit: PAGE }, stop.signal)
      .then((page) => {
        if (!stop.signal.aborted) change({ type: "page", rows: page.data, next: page.next });
      })
      .catch((thrown: unknown) => {
        if (!stop.signal.aborted) change({ type: "failed", error: asApiError(thrown) });
      })
      .finally(() => clearTimeout(slow));
  }, [name]);

  useEffect(() => {
    begin();
    const end = onKey(begin);
    return () => {
      end();
      running.current?.abort();
    };
  }, [begin]);

  const more = useCallback(() => {
    if (listing.state !== "idle" || listing.next === null || listing.error) return;
    const stop = running.current;
    change({ type: "more" });
    listLogs({ ...latest.current(), limit: PAGE, cursor: listing.next }, stop?.signal)
      .then((page) => {
        if (!stop?.signal.aborted) change({ type: "rest", rows: page.data, next: page.next });
      })
      .catch((thrown: unknown) => {
        if (!stop?.signal.aborted) change({ type: "failed", error: asApiError(thrown) });
      });
  }, [listing.state, listing.next, listing.error]);

  /** Fetches the top of the list and puts in what is new. Says nothing where it fails. */
  const refresh = useCallback(async () => {
    const stop = running.current;
    try {
      const page = await listLogs({ ...latest.current(), limit: PAGE }, stop?.signal);
      if (!stop?.signal.aborted) {
        change({ type: "newest", rows: page.data, next: page.next });
      }
    } catch {
      // The next one may succeed; what is shown stays true.
    }
  }, []);

  const setRow = useCallback((row: Summary) => change({ type: "changed", row }), []);
  return { listing, begin, more, refresh, setRow };
}
