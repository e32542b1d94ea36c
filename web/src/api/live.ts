/** `/logs/stream`: what goes on now, taken up again whenever it breaks. */

import { type ApiError, asApiError, isObject } from "./errors.ts";
import { events } from "./events.ts";

export type LiveMessage =
  | { type: "begun"; request_id: string; model: string; endpoint: string }
  | { type: "tokens"; request_id: string; at: number; tokens: number[]; pieces: string[] }
  | { type: "ended"; request_id: string; status: string; text: string }
  | { type: "missed"; count: number };

export type LiveState = "connecting" | "live" | "broken";

const WAITS_MS = [1_000, 2_000, 5_000, 10_000];

/** Watches until the signal. `onState` hears of every break, and of every return. */
export async function watch(
  signal: AbortSignal,
  onMessage: (message: LiveMessage) => void,
  onState: (state: LiveState, error: ApiError | null) => void,
): Promise<void> {
  let tries = 0;
  while (!signal.aborted) {
    onState("connecting", null);
    try {
      const stream = events("/logs/stream?tokens=false", signal, undefined, () => {
        tries = 0;
        onState("live", null);
      });
      for await (const event of stream) {
        const message: unknown = JSON.parse(event.data);
        if (isObject(message)) onMessage(message as unknown as LiveMessage);
      }
      if (!signal.aborted) onState("broken", null);
    } catch (error) {
      if (signal.aborted) return;
      onState("broken", asApiError(error));
    }
    await pause(WAITS_MS[Math.min(tries, WAITS_MS.length - 1)] ?? 10_000, signal);
    tries += 1;
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
