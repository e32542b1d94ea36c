/** Asking the server: JSON in, JSON out, with a time limit and errors that say what happened. */

import { ApiError, errorOf } from "./errors.ts";
import { key } from "./key.ts";

export const PATIENCE_MS = 30_000;

export interface Asking {
  method?: string;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Milliseconds until the answer must have come; 0 for no limit. */
  patience?: number;
}

/** The reply, whatever its status. Raises `ApiError` where there is none. */
export async function send(path: string, asking: Asking = {}): Promise<Response> {
  const headers: Record<string, string> = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (asking.body !== undefined) headers["content-type"] = "application/json";
  const { signal, timedOut, clear } = limited(asking.signal, asking.patience ?? PATIENCE_MS);
  try {
    return await fetch(path, {
      method: asking.method ?? "GET",
      headers,
      body: asking.body === undefined ? null : JSON.stringify(asking.body),
      signal,
    });
  } catch (error) {
    if (timedOut()) throw new ApiError("slow", "the server gave no answer in time");
    if (asking.signal?.aborted) throw error;
    throw new ApiError("away", "the server cannot be reached");
  } finally {
    clear();
  }
}

/** The answer's JSON. Raises `ApiError`. */
export async function ask<T>(path: string, asking: Asking = {}): Promise<T> {
  const reply = await send(path, asking);
  const body = await reply.text();
  if (!reply.ok) throw errorOf(reply.status, body);
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError("broken", "the server's answer is no JSON", reply.status);
  }
}

/** A query string of what is given; empty values are left out. */
export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

function limited(outer: AbortSignal | undefined, patience: number) {
  const own = new AbortController();
  let late = false;
  const stop = () => own.abort();
  const timer = patience
    ? setTimeout(() => {
        late = true;
        stop();
      }, patience)
    : undefined;
  if (outer?.aborted) stop();
  outer?.addEventListener("abort", stop);
  return {
    signal: own.signal,
    timedOut: () => late,
    clear: () => clearTimeout(timer),
  };
}
