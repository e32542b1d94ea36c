/** Something that is being fetched: it comes, it fails in words, it is never just a spinner. */

import { useCallback, useEffect, useRef, useState } from "react";
import { type ApiError, asApiError } from "../api/errors.ts";
import { onKey } from "../api/key.ts";

const SLOW_MS = 2_500;

export interface Loaded<T> {
  /** What came last; it stays while more is fetched. */
  value: T | null;
  error: ApiError | null;
  loading: boolean;
  slow: boolean;
  again: () => void;
  /** Makes another of what is there by then; does nothing where nothing is. */
  change: (made: (value: T) => T) => void;
}

/** Fetches when `name` changes. `name` must tell everything that `fetcher` depends on. */
export function useLoad<T>(name: string, fetcher: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ name: string; value: T | null; error: ApiError | null }>({
    name,
    value: null,
    error: null,
  });
  const [loading, setLoading] = useState(true);
  const [slow, setSlow] = useState(false);
  const [turn, setTurn] = useState(0);
  const latest = useRef(fetcher);
  latest.current = fetcher;
  const again = useCallback(() => setTurn((turn) => turn + 1), []);

  useEffect(() => onKey(again), [again]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a turn asks for the same again
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    setLoading(true);
    setSlow(false);
    latest
      .current(stop.signal)
      .then((value) => !stop.signal.aborted && setState({ name, value, error: null }))
      .catch((thrown: unknown) => {
        if (stop.signal.aborted) return;
        const error = asApiError(thrown);
        setState((old) => ({ name, value: old.name === name ? old.value : null, error }));
      })
      .finally(() => {
        clearTimeout(timer);
        if (!stop.signal.aborted) {
          setLoading(false);
          setSlow(false);
        }
      });
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [name, turn]);

  const change = useCallback(
    (made: (value: T) => T) =>
      setState((old) =>
        old.name === name && old.value !== null ? { ...old, value: made(old.value) } : old,
      ),
    [name],
  );
  const stale = state.name !== name;
  return {
    value: stale ? null : state.value,
    error: stale ? null : state.error,
    loading: loading || stale,
    slow,
    again,
    change,
  };
}
