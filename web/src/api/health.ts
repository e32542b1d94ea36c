/** How the server is: `/health` and `/metrics`. */

import { ask, askText } from "./ask.ts";

export interface Health {
  status: string;
  backend: string;
  models: string[];
  sandbox: Record<string, unknown>;
  traces?: {
    level: string;
    postgres: string;
    spool?: { bytes: number; durable: number; dropped: Record<string, number>; lag_bytes: number };
    writer?: { state: string; restarts: number; refused: number; damaged: number };
    missing?: string[];
  };
}

export const health = (signal?: AbortSignal) => ask<Health>("/health", { signal });

/** The sum of each metric over its labels. */
export async function metrics(signal?: AbortSignal): Promise<ReadonlyMap<string, number>> {
  return sums(await askText("/metrics", { signal }));
}

/** From Prometheus's text. */
export function sums(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const parts = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? ([^ ]+)/.exec(line);
    const value = Number(parts?.[2]);
    if (parts?.[1] && !Number.isNaN(value)) {
      found.set(parts[1], (found.get(parts[1]) ?? 0) + value);
    }
  }
  return found;
}
