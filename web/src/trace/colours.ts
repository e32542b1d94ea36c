/** How a token is coloured: a class of the style sheet, so that themes decide the colours. */

import type { Cell } from "./cells.ts";

export const COLOURINGS = ["origin", "probability", "entropy", "margin", "latency"] as const;
export type Colouring = (typeof COLOURINGS)[number];

export const MOD_COLOURS = 6;
const HEATS = 8;

/** The class of a cell. Heat 0 is as sure, or as fast, as can be. */
export function classOf(cell: Cell, colouring: Colouring): string {
  if (cell.origin === "prompt") return "prompt";
  if (colouring === "origin") {
    return cell.origin === "sampled" ? "sampled" : `forced mod-${modColour(cell.mod)}`;
  }
  const heat = heatOf(cell, colouring);
  return heat === null ? "unknown" : `heat-${heat}`;
}

export function modColour(mod: number): number {
  return mod < 0 ? 0 : mod % MOD_COLOURS;
}

/** 0 to 7, None where it is not known. */
export function heatOf(cell: Cell, colouring: Colouring): number | null {
  const value = readingOf(cell, colouring);
  if (value === null) return null;
  const share =
    colouring === "entropy"
      ? value / 3
      : colouring === "latency"
        ? Math.log10(1 + value) / 3
        : 1 - value;
  return Math.max(0, Math.min(HEATS - 1, Math.floor(share * HEATS)));
}

export function readingOf(cell: Cell, colouring: Colouring): number | null {
  if (colouring === "probability") return cell.probability;
  if (colouring === "entropy") return cell.entropy;
  if (colouring === "margin") return cell.margin;
  return colouring === "latency" ? cell.milliseconds : null;
}
