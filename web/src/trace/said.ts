/** What was asked and answered, as a person reads it. */

import type { Trace } from "../api/logs.ts";

const MARK = /<\|[^|<>]{1,40}\|>/g;

/** A prompt without the marks that a chat template puts around what was said. */
export function unmarked(prompt: string): string {
  return prompt.replace(MARK, " ").trim() || prompt;
}

/** The last thing that the user said; the prompt where there was no conversation. */
export function asked(trace: Trace): string {
  const { messages = [], user_prompt = "" } = trace.request;
  const last = messages.findLast((message) => message.role === "user")?.content;
  return typeof last === "string" ? last : unmarked(user_prompt);
}
