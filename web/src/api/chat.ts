/** Chat completions, streamed. With mods, text is shown at once and taken back in the open. */

import { ask } from "./ask.ts";
import { ApiError, isObject, kindOf } from "./errors.ts";
import { events } from "./events.ts";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** What a stream tells. removed: characters that leave the end of the text so far. */
export type Said =
  | { type: "id"; id: string }
  | { type: "text"; text: string }
  | { type: "removed"; text: string; tokens: number }
  | { type: "tools"; calls: unknown }
  | { type: "usage"; usage: Record<string, unknown> }
  | { type: "finished"; reason: string };

export const servedModels = async (signal?: AbortSignal) => {
  const listed = await ask<{ data: { id: string }[] }>("/v1/models", { signal });
  return listed.data.map((model) => model.id);
};

/** Raises `ApiError`, also where an error is the stream's last word, or its end is missing. */
export async function* chat(body: object, signal: AbortSignal): AsyncGenerator<Said> {
  let id = "";
  for await (const { data } of events("/v1/chat/completions", signal, body)) {
    if (data === "[DONE]") return;
    const chunk = parsed(data);
    if (isObject(chunk.error)) throw told(chunk.error);
    if (!id && typeof chunk.id === "string") {
      id = chunk.id;
      yield { type: "id", id };
    }
    if (isObject(chunk.usage)) yield { type: "usage", usage: chunk.usage };
    const choice = Array.isArray(chunk.choices) ? (chunk.choices[0] as unknown) : null;
    if (isObject(choice)) yield* ofChoice(choice);
  }
  throw new ApiError("cut", "the answer's end did not come");
}

function* ofChoice(choice: Record<string, unknown>): Generator<Said> {
  const delta = isObject(choice.delta) ? choice.delta : {};
  const { removed } = delta;
  if (isObject(removed)) {
    yield {
      type: "removed",
      text: String(removed.text ?? ""),
      tokens: Number(removed.tokens ?? 0),
    };
  }
  const thought = delta.reasoning_content ?? delta.reasoning;
  if (typeof thought === "string" && thought) yield { type: "text", text: thought };
  if (typeof delta.content === "string" && delta.content) {
    yield { type: "text", text: delta.content };
  }
  if (delta.tool_calls) yield { type: "tools", calls: delta.tool_calls };
  if (typeof choice.finish_reason === "string") {
    yield { type: "finished", reason: choice.finish_reason };
  }
}

function parsed(data: string): Record<string, unknown> {
  try {
    const chunk: unknown = JSON.parse(data);
    return isObject(chunk) ? chunk : {};
  } catch {
    throw new ApiError("broken", "a piece of the stream is no JSON");
  }
}

function told(error: Record<string, unknown>): ApiError {
  const status = Number(error.code ?? 500);
  return new ApiError(
    kindOf(status, error.type),
    String(error.message ?? "the request failed"),
    status,
  );
}
