/** Requests under way, as the live stream tells them. */

import { useEffect, useReducer, useRef } from "react";
import type { ApiError } from "../../api/errors.ts";
import { onKey } from "../../api/key.ts";
import { type LiveMessage, type LiveState, watch } from "../../api/live.ts";

const STORED_AFTER_MS = 900;

export interface Running {
  request_id: string;
  model: string;
  since: number;
}

interface Live {
  running: ReadonlyMap<string, Running>;
  state: LiveState;
  error: ApiError | null;
}

const NONE: ReadonlyMap<string, Running> = new Map();

type Change = LiveMessage | { type: "state"; state: LiveState; error: ApiError | null };

export function reduceLive(live: Live, change: Change): Live {
  if (change.type === "state") {
    // Whatever ends while nobody listens is not heard of: what ran is no longer known.
    const running = change.state === "live" ? NONE : live.running;
    return { running, state: change.state, error: change.error };
  }
  if (change.type === "missed") return { ...live, running: NONE };
  if (change.type === "begun") {
    const { request_id, model } = change;
    const running = new Map(live.running);
    return { ...live, running: running.set(request_id, { request_id, model, since: Date.now() }) };
  }
  if (change.type === "ended") {
    const running = new Map(live.running);
    running.delete(change.request_id);
    return { ...live, running };
  }
  return live;
}

/** onEnd: called a little after requests ended, once for many, when their traces can be had. */
export function useRunning(onEnd: () => void): Live {
  const [live, change] = useReducer(reduceLive, {
    running: NONE,
    state: "connecting" as LiveState,
    error: null,
  });
  const latest = useRef(onEnd);
  latest.current = onEnd;
  useEffect(() => {
    let stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ended = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        latest.current();
      }, STORED_AFTER_MS);
    };
    const begin = () => {
      stop.abort();
      stop = new AbortController();
      void watch(
        stop.signal,
        (message) => {
          change(message);
          if (message.type === "ended" || message.type === "missed") ended();
        },
        (state, error) => {
          change({ type: "state", state, error });
          if (state === "live") ended();
        },
      );
    };
    begin();
    const end = onKey(begin);
    return () => {
      end();
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return live;
}
