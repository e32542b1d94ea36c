/** The digest of the page's sources. The build writes it beside what it built, and a test that
 * needs no Node computes it again: so a built page that is out of date is found. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Files and folders that decide what is built, relative to `web/`. */
export const SOURCES = [
  "index.html",
  "package.json",
  "package-lock.json",
  "public",
  "src",
  "tsconfig.json",
  "vite.config.ts",
];

function filesOf(folder: string, path: string): string[] {
  const whole = join(folder, path);
  try {
    return readdirSync(whole, { withFileTypes: true }).flatMap((entry) =>
      filesOf(folder, `${path}/${entry.name}`),
    );
  } catch {
    return [path];
  }
}

/** sha256 over each file's path, length and bytes, the paths in order. */
export function digestOf(folder: string): string {
  const hash = createHash("sha256");
  for (const path of SOURCES.flatMap((source) => filesOf(folder, source)).sort()) {
    const bytes = readFileSync(join(folder, path));
    hash.update(`${path}\n${bytes.length}\n`);
    hash.update(bytes);
  }
  return hash.digest("hex");
}
