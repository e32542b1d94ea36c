/** Puts tokens into lines of a known width, so that only the lines in sight need be drawn.
 *
 * The strip is set in a monospaced face, so a token's width is counted and never measured: ten
 * thousand tokens are laid out in a few milliseconds. */

/** Something that stands in a line. width: in columns, the gap behind it included. */
export interface Item {
  /** The first cell, and how many: one token, or a fold. */
  cell: number;
  count: number;
  kind: "token" | "erased" | "prompt";
  shown: string;
  width: number;
  ends: boolean;
}

export interface Line {
  first: number;
  count: number;
}

/** Ends of lines and tabs are shown as signs; `ends` says that a line ends behind it. */
export function display(text: string): { shown: string; ends: boolean } {
  const shown = text
    .replace(/\r\n|\r|\n/g, "⏎")
    .replace(/\t/g, "⇥")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
    .replace(/[\u0000-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "·");
  return { shown: shown === "" ? "∅" : shown, ends: text.includes("\n") };
}

/** Columns that a text takes: two for the wide characters of East Asia and for pictures. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    columns += code < 0x1100 ? 1 : isWide(code) ? 2 : 1;
  }
  return columns;
}

function isWide(code: number): boolean {
  return (
    code <= 0x115f ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    code >= 0x1f300
  );
}

/** Greedy lines of items. An item wider than a line has one of its own. */
export function linesOf(items: readonly Item[], columns: number): Line[] {
  const lines: Line[] = [];
  let first = 0;
  let used = 0;
  const close = (end: number) => {
    if (end > first) lines.push({ first, count: end - first });
    first = end;
    used = 0;
  };
  for (const [index, item] of items.entries()) {
    if (used > 0 && used + item.width > columns) close(index);
    used += item.width;
    if (item.ends) close(index + 1);
  }
  close(items.length);
  return lines;
}

/** The number of the line in which an item stands. */
export function lineAt(lines: readonly Line[], item: number): number {
  let low = 0;
  let high = lines.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((lines[middle]?.first ?? 0) <= item) low = middle;
    else high = middle - 1;
  }
  return low;
}
