/** Fetches the list: its pages as they are needed, and its first page as requests end. */

import { type RefObject, useCallback, useEffect, useReducer, useRef } from "react";
import { asApiError } from "../../api/errors.ts";
import { onKey } from "../../api/key.ts";
import { listLogs } from "../../api/logs.ts";
import { type Change, EMPTY, PAGE, reduce } from "./listing.ts";

interface Asked {
  query: () => Record<string, string>;
  /** Whether what ends now belongs into the list. */
  live: boolean;
}

export function useListing(name: string, asked: Asked) {
  const [listing, change] = useReducer(reduce, EMPTY);
  const latest = useRef(asked);
  latest.current = asked;
  const running = useRef<AbortController>(null);

  const ask = useCallback(async (after: string | null) => {
    const signal = running.current?.signal;
    const query = { ...latest.current.query(), limit: PAGE, cursor: after ?? undefined };
    try {
      const page = await listLogs(query, signal);
      if (!signal?.aborted) change({ type: "page", page, after });
    } catch (thrown) {
      if (!signal?.aborted) change({ type: "failed", error: asApiError(thrown), after });
    }
  }, []);

  const begin = useCallback(() => {
    running.current?.abort();
    running.current = new AbortController();
    change({ type: "asking", name });
    const slow = setTimeout(() => change({ type: "slow" }), 2_500);
    void ask(null).finally(() => clearTimeout(slow));
  }, [ask, name]);

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
    change({ type: "more" });
    void ask(listing.next);
  }, [ask, listing.state, listing.next, listing.error]);

  const newest = useNewest(name, latest, running, change);
  return { listing, change, begin, more, ...newest };
}

/** The first page, taken anew: when it is asked for, and when one comes back to the top. */
function useNewest(
  name: string,
  asked: RefObject<Asked>,
  running: RefObject<AbortController | null>,
  change: (change: Change) => void,
) {
  const atTop = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another list begins at its top
  useEffect(() => {
    atTop.current = true;
  }, [name]);

  const refresh = useOneAtATime(async () => {
    if (!asked.current.live) return;
    const signal = running.current?.signal;
    try {
      const page = await listLogs({ ...asked.current.query(), limit: PAGE }, signal);
      if (!signal?.aborted) change({ type: "newest", page, atTop: atTop.current });
    } catch {
      // The next one may succeed; what is shown stays true.
    }
  });
  const onTop = useCallback(
    (now: boolean) => {
      if (now && !atTop.current) refresh();
      atTop.current = now;
    },
    [refresh],
  );
  return { refresh, onTop };
}

/** What is wanted while it is being done is done once more, afterwards. */
function useOneAtATime(work: () => Promise<void>): () => void {
  const state = useRef({ busy: false, wanted: false, work });
  state.current.work = work;
  return useCallback(async () => {
    const now = state.current;
    now.wanted = true;
    if (now.busy) return;
    now.busy = true;
    while (now.wanted) {
      now.wanted = false;
      await now.work();
    }
    now.busy = false;
  }, []);
}
