/** The list itself. Its order is the server's: its pages, one after the other. At its top the first
 * page is taken anew as requests end; further down nothing moves. */

import type { ApiError } from "../../api/errors.ts";
import type { Page, Summary } from "../../api/logs.ts";

export const PAGE = 100;

export interface Listing {
  name: string;
  rows: Summary[];
  next: string | null;
  state: "loading" | "slow" | "more" | "idle";
  error: ApiError | null;
  /** Ids that came while one was looking: they slide in. */
  fresh: ReadonlySet<string>;
  /** How many the first page has, while one looks further down, that are not in the list. */
  newer: number;
}

/** after: the cursor that was asked for, null for the first page. */
export type Change =
  | { type: "asking"; name: string }
  | { type: "slow" }
  | { type: "more" }
  | { type: "page"; page: Page; after: string | null }
  | { type: "failed"; error: ApiError; after: string | null }
  | { type: "newest"; page: Page; atTop: boolean }
  | { type: "changed"; row: Summary };

export const EMPTY: Listing = {
  name: "",
  rows: [],
  next: null,
  state: "loading",
  error: null,
  fresh: new Set(),
  newer: 0,
};

export function reduce(listing: Listing, change: Change): Listing {
  switch (change.type) {
    case "asking":
      return change.name === listing.name
        ? { ...listing, state: "loading", error: null }
        : { ...EMPTY, name: change.name };
    case "slow":
      return listing.state === "loading" ? { ...listing, state: "slow" } : listing;
    case "more":
      return { ...listing, state: "more" };
    case "page":
      return awaited(listing, change.after) ? withPage(listing, change) : listing;
    case "failed":
      return awaited(listing, change.after)
        ? { ...listing, state: "idle", error: change.error }
        : listing;
    case "newest":
      return withNewest(listing, change.page, change.atTop);
    case "changed":
      return {
        ...listing,
        rows: listing.rows.map((row) =>
          row.request_id === change.row.request_id ? change.row : row,
        ),
      };
  }
}

/** Whether an answer is of this list: the first page may have been taken anew meanwhile. */
function awaited({ state, next }: Listing, after: string | null): boolean {
  if (after === null) return state === "loading" || state === "slow";
  return state === "more" && next === after;
}

function withPage(listing: Listing, change: { page: Page; after: string | null }): Listing {
  const { data, next } = change.page;
  const whole = { ...listing, next, state: "idle" as const, error: null };
  if (change.after === null) return { ...whole, rows: data, newer: 0 };
  return { ...whole, rows: [...listing.rows, ...data] };
}

function withNewest(listing: Listing, page: Page, atTop: boolean): Listing {
  const known = new Map(listing.rows.map((row) => [row.request_id, row]));
  const ids = page.data.map((row) => row.request_id);
  const fresh = new Set(ids.filter((id) => !known.has(id)));
  if (!atTop) return { ...listing, newer: fresh.size };
  return {
    ...listing,
    // A row may have been changed here, and the server not have taken it in.
    rows: page.data.map((row) => known.get(row.request_id) ?? row),
    next: page.next,
    state: "idle",
    error: null,
    fresh,
    newer: 0,
  };
}
