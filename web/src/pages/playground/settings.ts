/** What the playground sends, and the same as a person would send it from elsewhere. */

import type { Message } from "../../api/chat.ts";
import { EXAMPLES, fieldsOf, type Kind } from "../../api/constraints.ts";

/** Numbers as they are typed: empty is the server's default. */
export interface Settings {
  model: string;
  mods: string[];
  system: string;
  temperature: string;
  topP: string;
  maxTokens: string;
  seed: string;
  full: boolean;
  constraint: Draft;
}

/** A constraint as it is typed. Each kind has a text of its own, which stays while another kind is
 * looked at. */
export interface Draft {
  kind: Kind;
  texts: Record<Kind, string>;
}

export const DEFAULTS: Settings = {
  model: "",
  mods: [],
  system: "",
  temperature: "",
  topP: "",
  maxTokens: "256",
  seed: "",
  full: true,
  constraint: { kind: "none", texts: { none: "", ...EXAMPLES } },
};

/** The body of a chat completion. Raises `SyntaxError` for a schema that is no JSON. */
export function bodyOf(
  settings: Settings,
  said: Message[],
  stream: boolean,
): Record<string, unknown> {
  const { kind, texts } = settings.constraint;
  const system: Message[] = settings.system.trim()
    ? [{ role: "system", content: settings.system }]
    : [];
  return {
    model: settings.model,
    ...(settings.mods.length ? { mods: settings.mods } : {}),
    messages: [...system, ...said],
    ...number("temperature", settings.temperature),
    ...number("top_p", settings.topP),
    ...number("max_tokens", settings.maxTokens),
    ...number("seed", settings.seed),
    ...fieldsOf({ kind, text: texts[kind] }),
    ...(settings.full ? { trace: "full" } : {}),
    ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(stream && settings.mods.length ? { stream_removed: true } : {}),
  };
}

function number(name: string, typed: string): Record<string, number> {
  const value = Number(typed);
  return typed.trim() === "" || Number.isNaN(value) ? {} : { [name]: value };
}

/** For a shell. Quotes in the body end the shell's own and come back. A key is never copied: the
 * shell is to have it, as `CONCORDANCE_KEY`. The page cannot tell whether the server wants one, as
 * the browser may send it by itself; a server without keys takes anything. */
export function asCurl(body: object, origin: string): string {
  const told = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const key = '-H "authorization: Bearer $CONCORDANCE_KEY"';
  return `curl ${origin}/v1/chat/completions ${key} -H 'content-type: application/json' -d '${told}'`;
}

const OPENAI = [
  "model",
  "messages",
  "temperature",
  "top_p",
  "max_tokens",
  "seed",
  "response_format",
];

/** For the `openai` package, which takes what OpenAI does not know in `extra_body`. */
export function asPython(body: Record<string, unknown>, origin: string): string {
  const known = Object.entries(body).filter(([name]) => OPENAI.includes(name));
  const more = Object.entries(body).filter(([name]) => !OPENAI.includes(name));
  const lines = known.map(([name, value]) => `    ${name}=${python(value)},`);
  if (more.length) lines.push(`    extra_body=${python(Object.fromEntries(more))},`);
  const key = 'os.environ.get("CONCORDANCE_KEY", "none")';
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${origin}/v1", api_key=${key})`,
    "answer = client.chat.completions.create(",
    ...lines,
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
}

/** A value as Python writes it. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    const items = Object.entries(value).map(([name, each]) => `${python(name)}: ${python(each)}`);
    return `{${items.join(", ")}}`;
  }
  return JSON.stringify(value);
}
