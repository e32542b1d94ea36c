import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { digestOf } from "./digest.ts";

const here = dirname(fileURLToPath(import.meta.url));
const built = join(here, "..", "server", "web", "static");

/** Where `npm run dev` finds a server. */
const server = process.env.CONCORDANCE_SERVER ?? "http://127.0.0.1:8000";

function digest(): Plugin {
  return {
    name: "digest-of-the-sources",
    apply: "build",
    closeBundle: () => writeFileSync(join(built, "sources.sha256"), `${digestOf(here)}\n`),
  };
}

export default defineConfig({
  plugins: [react(), digest()],
  build: { outDir: built, emptyOutDir: true, modulePreload: { polyfill: false }, target: "es2022" },
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/logs", "/health", "/metrics", "/validate_constraints", "/pieces"].map((path) => [
        path,
        server,
      ]),
    ),
  },
});
