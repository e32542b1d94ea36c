/** Traces, as `/logs` tells them. The names are those of `server/traces/`. */

import { ask, query } from "./ask.ts";

export interface Summary {
  request_id: string;
  created_at: string;
  completed_at: string | null;
  latency: number;
  time_to_first_token: number | null;
  model: string;
  endpoint: string;
  caller: string;
  status: "done" | "failed" | "aborted";
  finish_reason: string;
  level: string;
  parent_id: string;
  mods: string[];
  actions: string[];
  tags: string[];
  favourite: boolean;
  prompt_tokens: number;
  output_tokens: number;
  sampled_tokens: number;
  forced_tokens: number;
  erased_tokens: number;
  prompt: string;
  output: string;
}

export interface Page {
  data: Summary[];
  next: string | null;
}

/** Fields that hold their default are left out. */
export interface Request {
  request_id: string;
  created_at: string;
  first_token_at?: string | null;
  completed_at?: string | null;
  group_id?: string;
  choice?: number;
  parent_id?: string;
  parent_step?: number | null;
  model?: string;
  endpoint?: string;
  caller?: string;
  stream?: boolean;
  level?: string;
  messages?: Record<string, unknown>[];
  tools?: Record<string, unknown>[];
  response_format?: Record<string, unknown> | null;
  user_prompt?: string;
  user_prompt_token_ids?: number[];
  max_tokens?: number | null;
  temperature?: number | null;
  sampling?: Record<string, unknown>;
  mods?: { name: string; digest?: string }[];
  final_text?: string;
  final_token_ids?: number[];
  finish_reason?: string;
  stop_reason?: number | string | null;
  tool_calls?: Record<string, unknown>[];
  usage?: { prompt?: number; cached?: number; sampled?: number; forced?: number; erased?: number };
  error?: { message: string; type?: string; status?: number } | null;
  tags?: string[];
}

/** Parallel arrays, an item for each token that was drawn or put in: `server/traces/story.py`. */
export interface Story {
  tokens?: number[];
  origins?: number[];
  mods?: number[];
  rounds?: number[];
  times?: (number | null)[];
  probabilities?: (number | null)[];
  erased?: number[];
  forward_passes?: number;
  entropies?: (number | null)[];
  top_tokens?: number[][];
  top_probabilities?: number[][];
}

export type EventType = "Prefilled" | "ForwardPass" | "Sampled" | "Added" | "Finished";

/** What a record tells of an event: `server/traces/record.py`. */
export interface RecordEvent {
  event_type: EventType;
  step: number;
  position?: number | null;
  sampled_token?: number | null;
  added_tokens?: number[];
  forced?: boolean;
  removed_tokens?: number[];
  output_tokens?: number[];
}

export interface Action {
  action_type: string;
  mod_call_sequence?: number | null;
  mod_name?: string;
  event_type?: EventType | null;
  step?: number | null;
  position?: number | null;
  tokens?: number[];
  before?: number[];
  backtrack_steps?: number | null;
  overridden?: boolean;
  details?: Record<string, unknown>;
}

export interface Failure {
  call: number;
  type?: string;
  message?: string;
  traceback?: string;
}

export interface ModLog {
  log_message: string;
  mod_name?: string;
  mod_call_sequence?: number | null;
  log_level?: string;
}

export interface Note {
  id: number;
  request_id: string;
  step: number | null;
  caller: string;
  text: string;
  created_at: string;
}

/** `GET /logs/{id}?view=story`. events: the record's own, where they do not follow from the story. */
export interface Trace {
  version: number;
  request: Request;
  story: Story;
  events?: RecordEvent[];
  calls: { events?: number[]; mods?: number[]; micros?: (number | null)[] };
  failures: Failure[];
  mod_logs: ModLog[];
  actions: Action[];
  tags: string[];
  favourite: boolean;
  notes: Note[];
}

export interface Piece {
  token: number;
  origin: "prompt" | "sampled" | "forced";
  mod?: string;
  probability?: number | null;
}

export interface Diff {
  a: string;
  b: string;
  same: number;
  tokens_a: Piece[];
  tokens_b: Piece[];
  blocks: {
    kind: "equal" | "replace" | "delete" | "insert";
    a: [number, number];
    b: [number, number];
  }[];
}

export interface Replayed {
  request_id: string;
  parent_id: string;
  parent_step: number | null;
  text: string;
  finish_reason: string;
  kept: number;
}

export interface Statistics {
  since: string;
  until: string;
  mods: {
    mod: string;
    requests: number;
    calls: number;
    failures: number;
    forced_tokens: number;
    erased_tokens: number;
    durations: Record<string, number | null>;
  }[];
  actions: { mod: string; action: string; taken: number; overridden: number }[];
  requests: {
    start: string;
    requests: number;
    failed: number;
    aborted: number;
    sampled_tokens: number;
    forced_tokens: number;
    erased_tokens: number;
    latencies: Record<string, number | null>;
  }[];
}

const at = (id: string) => `/logs/${encodeURIComponent(id)}`;

export const listLogs = (
  filters: Record<string, string | number | undefined>,
  signal?: AbortSignal,
) => ask<Page>(`/logs${query(filters)}`, { signal });

export const openLog = (id: string, signal?: AbortSignal) =>
  ask<Trace>(`${at(id)}?view=story`, { signal });

export const rawLog = (id: string, signal?: AbortSignal) => ask<unknown>(at(id), { signal });

export const deleteLog = (id: string) => ask<unknown>(at(id), { method: "DELETE" });

export const addTag = (id: string, tag: string) =>
  ask<{ tags: string[] }>(`${at(id)}/tags`, { method: "POST", body: { tags: [tag] } });

export const removeTag = (id: string, tag: string) =>
  ask<{ tags: string[] }>(`${at(id)}/tags/${encodeURIComponent(tag)}`, { method: "DELETE" });

export const setFavourite = (id: string, favourite: boolean) =>
  ask<{ favourite: boolean }>(`${at(id)}/favourite`, { method: favourite ? "PUT" : "DELETE" });

export const addNote = (id: string, text: string, step: number | null) =>
  ask<Note>(`${at(id)}/notes`, { method: "POST", body: step === null ? { text } : { text, step } });

export const deleteNote = (id: string, note: number) =>
  ask<unknown>(`${at(id)}/notes/${note}`, { method: "DELETE" });

export const statistics = (since: string, until: string, hours: number, signal?: AbortSignal) =>
  ask<Statistics>(`/logs/stats${query({ since, until, hours })}`, { signal });

/** It waits for the whole answer, so there is no time limit. */
export const replay = (
  id: string,
  step: number | null,
  mods: string[] | null,
  signal?: AbortSignal,
) =>
  ask<Replayed>(`${at(id)}/replay`, {
    method: "POST",
    body: { ...(step === null ? {} : { step }), ...(mods === null ? {} : { mods }) },
    signal,
    patience: 0,
  });

export const diffOf = (a: string, b: string, signal?: AbortSignal) =>
  ask<Diff>(`${at(a)}/diff/${encodeURIComponent(b)}`, { signal });
