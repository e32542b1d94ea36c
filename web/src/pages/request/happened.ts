/** A request in a sentence or two: what came of it, and what the mods did to it. */

import type { Trace } from "../../api/logs.ts";

const DEEDS: Record<string, (times: string) => string> = {
  force_tokens: (times) => `put tokens in ${times}`,
  backtrack: (times) => `took tokens back ${times}`,
  adjust_logits: (times) => `reshaped the choice ${times}`,
  bias: (times) => `made tokens likelier or less likely ${times}`,
  ban: (times) => `forbade tokens ${times}`,
  allow: (times) => `allowed only some tokens ${times}`,
  constrain: (times) => `constrained the output ${times}`,
  adjust_prefill: () => "changed the prompt",
  force_output: () => "replaced the whole output",
  tool_calls: () => "ended with tool calls",
  emit_error: () => "ended with an error",
  temperature: (times) => `set the temperature ${times}`,
  cut: (times) => `had tokens cut behind an end ${times}`,
};

/** One sentence for each mod that did anything. */
export function deeds(trace: Trace): string[] {
  const byMod = new Map<string, Map<string, number>>();
  for (const action of trace.actions) {
    if (action.overridden) continue;
    const mod = action.mod_name || "the server";
    const counts = byMod.get(mod) ?? new Map<string, number>();
    byMod.set(mod, counts.set(action.action_type, (counts.get(action.action_type) ?? 0) + 1));
  }
  const sentences = [...byMod].map(([mod, counts]) => {
    const parts = [...counts].map(([type, n]) => deed(type, n));
    return `${mod} ${parts.join(", ")}.`;
  });
  const idle = (trace.request.mods ?? []).map((mod) => mod.name).filter((mod) => !byMod.has(mod));
  return [...sentences, ...idle.map((mod) => `${mod} did nothing.`)];
}

function deed(type: string, times: number): string {
  const often = times === 1 ? "once" : `${times} times`;
  return DEEDS[type]?.(often) ?? `did ${type} ${often}`;
}

const ENDS: Record<string, string> = {
  stop: "It ended by itself",
  length: "It ended because no more tokens were allowed",
  tool_calls: "It ended with tool calls",
  abort: "It was aborted: the client went away or stopped it",
  error: "It ended with an error",
};

/** How it ended. */
export function ending(trace: Trace): string {
  const { request } = trace;
  if (request.error) {
    const status = request.error.status ? ` (${request.error.status})` : "";
    return `It failed${status}: ${request.error.message}`;
  }
  return `${ENDS[request.finish_reason ?? ""] ?? "How it ended is not known"}.`;
}

export function statusOf(trace: Trace): "failed" | "aborted" | "done" {
  if (trace.request.error) return "failed";
  return trace.request.finish_reason === "abort" ? "aborted" : "done";
}
