/** A mod as it is being written. */

import { isObject } from "../../api/errors.ts";
import type { Mod, Upload } from "../../api/mods.ts";

export interface Draft {
  name: string;
  /** Path to source; a mod of one file has one. */
  files: Record<string, string>;
  /** `module:function`, where the server has to be told. */
  entrypoint: string;
}

export const FIRST: Draft = {
  name: "",
  entrypoint: "",
  files: {
    "my_mod.py": [
      "from mods.sdk import Sampled, mod",
      "",
      "",
      "@mod",
      "def my_mod(event, actions, tokenizer):",
      '    """Put a full stop where the model wants an exclamation mark."""',
      '    if isinstance(event, Sampled) and "!" in tokenizer.decode([event.sampled_token]):',
      '        return actions.force_tokens(".")',
      "    return actions.noop()",
      "",
    ].join("\n"),
  },
};

/** copy: as a beginning for another one, without its name. */
export function draftOf(mod: Mod, copy = false): Draft {
  const files = Object.fromEntries(mod.files.map((file) => [file.path, file.source ?? ""]));
  return { name: copy ? "" : mod.name, files, entrypoint: mod.entry };
}

export function uploadOf(draft: Draft): Upload {
  const sources = Object.values(draft.files);
  const one = sources.length === 1;
  return {
    ...(draft.name.trim() ? { name: draft.name.trim() } : {}),
    ...(one ? { source: sources[0] ?? "" } : { files: draft.files }),
    ...(draft.entrypoint
      ? { entrypoint: one ? functionOf(draft.entrypoint) : draft.entrypoint }
      : {}),
  };
}

/** A source that is sent alone gets a module name of the server's. */
const functionOf = (entrypoint: string) => entrypoint.split(":").at(-1) ?? entrypoint;

/** Where an error lies: its file and line, from a reply's fields or from a traceback's text. */
export function faultOf(
  told: { file?: string | null; line?: number | null; message: string },
  files: readonly string[],
): { file: string; line: number; message: string } | null {
  const { message } = told;
  const first = files[0] ?? "";
  if (typeof told.line === "number") {
    const file = files.find((path) => path === told.file || told.file?.endsWith(path)) ?? first;
    return { file, line: told.line, message };
  }
  const lines = [...message.matchAll(/File "([^"]+)", line (\d+)/g)];
  for (const [, path, line] of lines.reverse()) {
    const file = files.find(
      (each) => path?.endsWith(each) || path?.endsWith(each.replace(/\.py$/, "")),
    );
    if (file)
      return { file, line: Number(line), message: message.trim().split("\n").at(-1) ?? message };
  }
  return null;
}

/** What a failure of a run says, with its traceback where it has one. */
export function failureText(failure: unknown): string {
  if (!isObject(failure)) return String(failure);
  const { traceback, message, error } = failure;
  return String(traceback || [error, message].filter(Boolean).join(": "));
}
