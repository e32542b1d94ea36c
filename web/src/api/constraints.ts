/** Constraints: as a person types them, as `/validate_constraints` and as a chat takes them. */

import { ask } from "./ask.ts";

export const KINDS = ["none", "json", "regex", "grammar", "choice"] as const;
export type Kind = (typeof KINDS)[number];

export interface Typed {
  kind: Kind;
  text: string;
}

export interface Validation {
  valid: boolean;
  digest: string;
  warnings: string[];
  compile_time_ms: number | null;
  mask_time_ms: number | null;
  size_bytes: number | null;
  masks: number | null;
  error: { message: string; part: string; position: string | null } | null;
}

export const EXAMPLES: Record<Exclude<Kind, "none">, string> = {
  json: '{\n  "type": "object",\n  "properties": {\n    "name": { "type": "string", "maxLength": 20 },\n    "age": { "type": "integer" }\n  },\n  "required": ["name", "age"],\n  "additionalProperties": false\n}',
  regex: "(Yes|No), [a-z ]{1,30}\\.",
  grammar: 'root ::= "(" root ")" | [0-9]+',
  choice: "yes\nno\nperhaps",
};

/** The value under its kind, as both routes take it. Raises `SyntaxError` for a schema that is no
 * JSON. null where nothing is constrained. */
export function readingOf({ kind, text }: Typed): unknown {
  if (kind === "none" || !text.trim()) return null;
  if (kind === "json") return JSON.parse(text);
  if (kind === "choice") return text.split("\n").filter((line) => line !== "");
  return text;
}

/** For `/validate_constraints`. */
export function specOf(typed: Typed): Record<string, unknown> | null {
  const value = readingOf(typed);
  if (value === null) return null;
  const names = { json: "schema", regex: "pattern", grammar: "grammar", choice: "choices" };
  return typed.kind === "none" ? null : { type: typed.kind, [names[typed.kind]]: value };
}

/** The fields of a chat's body. */
export function fieldsOf(typed: Typed): Record<string, unknown> {
  const value = readingOf(typed);
  if (value === null) return {};
  if (typed.kind === "json") {
    const schema = { name: "answer", schema: value, strict: true };
    return { response_format: { type: "json_schema", json_schema: schema } };
  }
  return { structured_outputs: { [typed.kind]: value } };
}

export const validate = (constraints: object, signal?: AbortSignal) =>
  ask<Validation>("/validate_constraints", { method: "POST", body: { constraints }, signal });
