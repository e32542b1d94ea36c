/** Numbers that are asked for again and again. Where newer ones cannot be had, the last ones stay,
 * and it is said from when they are. */

import { type ReactNode, useEffect } from "react";
import { type Loaded, useLoad } from "../../app/load.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";

const AGAIN_MS = 10_000;

export interface Dated<T> {
  told: T;
  /** Milliseconds since the epoch. */
  at: number;
}

export function useRenewed<T>(
  name: string,
  fetcher: (signal: AbortSignal) => Promise<T>,
): Loaded<Dated<T>> {
  const loaded = useLoad<Dated<T>>(name, async (signal) => ({
    told: await fetcher(signal),
    at: Date.now(),
  }));
  const { loading, again } = loaded;
  useEffect(() => {
    // Counted from the end of a load, however long that takes: to ask again ends one under way.
    if (loading) return;
    const timer = setInterval(() => !document.hidden && again(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [loading, again]);
  return loaded;
}

interface Props<T> {
  loaded: Loaded<Dated<T>>;
  children: (told: T) => ReactNode;
}

export function Renewed<T>({ loaded, children }: Props<T>) {
  const { value, error, slow, again } = loaded;
  if (!value && !error) return <Waiting slow={slow} onRetry={again} />;
  return (
    <>
      {error && <Trouble error={error} onRetry={again} />}
      {error && value && <p className="warning">These are the numbers of {timeOf(value)}:</p>}
      {value && children(value.told)}
    </>
  );
}

export const timeOf = ({ at }: Dated<unknown>) => new Date(at).toLocaleTimeString();
