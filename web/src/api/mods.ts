/** Mods and dry runs, as `/v1/mods` takes and tells them. The names are those of
 * `server/mods/models.py` and `server/mods/dry_run.py`. */

import { ask, query } from "./ask.ts";

export interface Mod {
  name: string;
  description: string;
  entry: string;
  digest: string;
  events: string[];
  reach: number | null;
  logits: boolean;
  confidence: boolean;
  on_error: string;
  deadline: number | null;
  created: number;
  shared: boolean;
  built_in: boolean;
  set_aside: string | null;
  files: { path: string; size: number; source?: string | null }[];
}

export interface Upload {
  name?: string;
  files: Record<string, string>;
  entrypoint?: string;
}

export interface DryRun {
  prompt?: string;
  max_tokens?: number;
  temperature?: number;
  seed?: number;
  scripted?: boolean;
  text?: string;
}

export interface DryRunReply {
  text: string;
  tokens: { id: number; text: string; origin: "sampled" | "forced"; mod: string | null }[];
  finish_reason: string;
  status: number;
  message: string;
  usage: Record<string, number>;
  events: Record<string, unknown>[];
  actions: Record<string, unknown>[];
  prints: { mod: string; text: string }[];
  failures: Record<string, unknown>[];
  laws: {
    checked: boolean;
    runs: number;
    calls: number;
    acted: Record<string, number>;
    complete: boolean;
    broken: { law: number; name: string; what: string; script: string; story: string[] } | null;
  } | null;
}

const at = (name: string) => `/v1/mods/${encodeURIComponent(name)}`;

export const listMods = async (signal?: AbortSignal) =>
  (await ask<{ data: Mod[] }>("/v1/mods", { signal })).data;

export const showMod = (name: string, signal?: AbortSignal) =>
  ask<Mod>(`${at(name)}${query({ source: "true" })}`, { signal });

export const saveMod = (upload: Upload) =>
  ask<Mod & { replaced: boolean }>("/v1/mods", { method: "POST", body: upload });

export const deleteMod = (name: string) => ask<unknown>(at(name), { method: "DELETE" });

/** It waits for the whole run, so there is no time limit but the signal. */
export const dryRun = (upload: Upload, run: DryRun, signal?: AbortSignal) =>
  ask<DryRunReply>("/v1/mods/dry-run", {
    method: "POST",
    body: { ...upload, ...run },
    signal,
    patience: 0,
  });
