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

export function uploadOf({ name, files, entrypoint }: Draft): Upload {
  return {
    ...(name.trim() ? { name: name.trim() } : {}),
    files,
    ...(isThere(entrypoint, files) ? { entrypoint } : {}),
  };
}

/** Whether the file that an entry point names still has its function. The server finds one that
 * was renamed by itself. */
function isThere(entrypoint: string, files: Draft["files"]): boolean {
  const [module, name] = entrypoint.split(":");
  const path = Object.keys(files).find((path) => moduleOf(path) === module);
  if (!path || !name) return false;
  const made = `(?:async\\s+)?(?:def|class)\\s+${name}\\s*[([:]|${name}\\s*(?::|=(?!=))`;
  const imported = `from\\s.*\\bimport\\b(?:[^(\\n]*|\\s*\\([^)]*)\\b${name}\\b`;
  return new RegExp(`^[ \\t]*(?:${made}|${imported})`, "m").test(files[path] ?? "");
}

/** The dotted name of a file within its mod. */
const moduleOf = (path: string) =>
  path
    .replace(/\.py$/, "")
    .replaceAll("/", ".")
    .replace(/\.__init__$/, "");

/** What an error says of where it lies: in fields, or in its text. */
export interface Told {
  file?: string | null;
  line?: number | null;
  message: string;
}

export interface Fault {
  file: string;
  line: number;
  message: string;
}

/** A line of the mod's own: tracebacks call its folder by its name and eight digits of its digest;
 * the SDK's files and shared helpers lie elsewhere. Or a line that could not be imported. */
const LINE = /(?:File "[^"/]+@[0-9a-f]{8}\/([^"]+)"|cannot be imported: ([^",]+)), line (\d+)/g;

/** Where an error lies in these files: by a reply's fields, or the innermost line of a traceback. */
export function faultOf(told: Told, files: readonly string[]): Fault | null {
  const { file, line, message } = told;
  if (file && line) return files.includes(file) ? { file, line, message } : null;
  const last = message.trim().split("\n").at(-1) ?? message;
  const lines = [...message.matchAll(LINE)].map(([, run, load, line]) => ({
    file: run ?? load ?? "",
    line: Number(line),
    message: last,
  }));
  return lines.findLast((each) => files.includes(each.file)) ?? null;
}

/** What a failure of a run says, with its traceback where it has one. */
export function failureText(failure: unknown): string {
  if (!isObject(failure)) return String(failure);
  const { traceback, message, error } = failure;
  return String(traceback || [error, message].filter(Boolean).join(": "));
}
