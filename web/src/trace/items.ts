/** From cells to what stands in the strip: tokens, and folds in the place of many. */

import { type Cell, presence } from "./cells.ts";
import { columnsOf, display, type Item } from "./layout.ts";

export interface Folding {
  erased: boolean;
  prompt: boolean;
}

/** event: the number of the last event that has been answered; Infinity for all. */
export function itemsOf(cells: readonly Cell[], folding: Folding, event = Infinity): Item[] {
  const items: Item[] = [];
  let index = 0;
  while (index < cells.length) {
    const cell = cells[index]!;
    const state = presence(cell, event);
    if (state === "absent") {
      index += 1;
      continue;
    }
    const kind = foldOf(cell, state, folding);
    if (kind === null) {
      items.push(tokenItem(cell, index));
      index += 1;
      continue;
    }
    let end = index + 1;
    while (end < cells.length) {
      const other = cells[end]!;
      if (foldOf(other, presence(other, event), folding) !== kind) break;
      end += 1;
    }
    items.push(foldItem(kind, index, end - index));
    index = end;
  }
  return items;
}

function foldOf(cell: Cell, state: string, folding: Folding): "erased" | "prompt" | null {
  if (cell.origin === "prompt") return folding.prompt ? "prompt" : null;
  return state === "gone" && folding.erased ? "erased" : null;
}

/** A cell always makes the same item, so scrubbing through many tokens measures none again. */
const made = new WeakMap<Cell, Item>();

function tokenItem(cell: Cell, index: number): Item {
  const known = made.get(cell);
  if (known?.cell === index) return known;
  const { shown, ends } = display(cell.text);
  const width = columnsOf(shown) + 1;
  const item: Item = { cell: index, count: 1, kind: "token", shown, width, ends };
  made.set(cell, item);
  return item;
}

function foldItem(kind: "erased" | "prompt", cell: number, count: number): Item {
  const shown = kind === "erased" ? `−${count}` : `prompt · ${count} tokens`;
  return { cell, count, kind, shown, width: columnsOf(shown) + 3, ends: kind === "prompt" };
}
