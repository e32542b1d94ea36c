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

/** The reply as soon as it begins, if it is a good one. There is no time limit but the signal.
 * Raises `ApiError`. */
export async function send(path: string, asking: Omit<Asking, "patience"> = {}): Promise<Response> {
  const headers: Record<string, string> = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (asking.body !== undefined) headers["content-type"] = "application/json";
  const reply = await fetch(path, {
    method: asking.method ?? "GET",
    headers,
    body: asking.body === undefined ? null : JSON.stringify(asking.body),
    signal: asking.signal ?? null,
  }).catch((error: unknown) => {
    if (asking.signal?.aborted) throw error;
    throw new ApiError("away", "the server cannot be reached");
  });
  if (reply.ok) return reply;
  throw errorOf(reply.status, await reply.text(), reply.headers.get("retry-after"));
}

/** The answer's text. Raises `ApiError`. */
export async function askText(path: string, asking: Asking = {}): Promise<string> {
  const { signal, patience = PATIENCE_MS, ...rest } = asking;
  const own = new AbortController();
  const stop = () => own.abort();
  let late = false;
  const giveUp = () => {
    late = true;
    stop();
  };
  const timer = patience ? setTimeout(giveUp, patience) : undefined;
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    const reply = await send(path, { ...rest, signal: own.signal });
    clearTimeout(timer);
    return await reply.text();
  } catch (error) {
    throw late ? new ApiError("slow", "the server gave no answer in time") : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** The answer's JSON. Raises `ApiError`. */
export async function ask<T>(path: string, asking: Asking = {}): Promise<T> {
  const body = await askText(path, asking);
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError("broken", "the server's answer is no JSON");
  }
}

/** A query string of what is given; empty values are left out. */
export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}
