import type { Trace } from "../../api/logs.ts";

/** The conversation as it was asked, and what the request ran with. */
export function Facts({ trace }: { trace: Trace }) {
  const { request } = trace;
  const facts: [string, unknown][] = [
    ["endpoint", request.endpoint],
    ["caller", request.caller],
    ["streamed", request.stream ? "yes" : "no"],
    ["trace level", request.level ?? "tokens"],
    ["choice of", request.group_id],
    [
      "mods",
      request.mods?.map((mod) => `${mod.name} ${(mod.digest ?? "").slice(0, 12)}`).join(", "),
    ],
    ["finish reason", request.finish_reason],
    ["stop reason", request.stop_reason],
    ["max tokens", request.max_tokens],
    ["temperature", request.temperature],
    ...Object.entries(request.sampling ?? {}).filter(([name]) => !(name in NAMED)),
  ];
  return (
    <section className="panel" aria-label="Conversation and parameters">
      <h2>Conversation</h2>
      {(request.messages ?? []).map((message, place) => (
        <div className="message" key={place}>
          <b>{String(message.role ?? "")}</b>
          <pre>{contentOf(message)}</pre>
        </div>
      ))}
      {!request.messages?.length && request.user_prompt && <pre>{request.user_prompt}</pre>}
      <div className="message">
        <b>answer</b>
        <pre>{request.final_text || "(nothing)"}</pre>
      </div>
      {request.tool_calls?.length ? (
        <div className="message">
          <b>tool calls</b>
          <pre>{JSON.stringify(request.tool_calls, null, 2)}</pre>
        </div>
      ) : null}
      <h2>Parameters</h2>
      <dl className="facts">
        {facts
          .filter(([, value]) => value !== undefined && value !== null && value !== "")
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{typeof value === "object" ? JSON.stringify(value) : String(value)}</dd>
            </div>
          ))}
      </dl>
    </section>
  );
}

const NAMED = { max_tokens: true, temperature: true };

function contentOf(message: Record<string, unknown>): string {
  const { content, tool_calls: calls } = message;
  if (typeof content === "string") {
    const called = Array.isArray(calls) && calls.length ? JSON.stringify(calls, null, 2) : "";
    return [content, called].filter(Boolean).join("\n");
  }
  const rest = { ...message };
  delete rest.role;
  return JSON.stringify(rest, null, 2);
}
