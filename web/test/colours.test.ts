/** What is written can be read: the contrast of every text with what it stands on. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const sheet = readFileSync(join(import.meta.dirname, "../src/style/colours.css"), "utf8");
const [light = "", dark = ""] = sheet.split("@media");

function colours(part: string): Record<string, string> {
  return Object.fromEntries(
    [...part.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]),
  );
}

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

const SURFACES = ["ground", "raised", "sunken"];

describe.each([
  ["light", colours(light)],
  ["dark", colours(dark)],
])("in %s", (_, theme) => {
  const heats = Object.keys(theme).filter((name) => /^(heat|mod)-/.test(name));
  const pairs: [string, string][] = [
    ...["ink", "quiet", "link", "good", "bad", "warn", "strong"].flatMap((text) =>
      SURFACES.map((surface): [string, string] => [text, surface]),
    ),
    ...[...heats, "token", "token-selected", "erased"].map((under): [string, string] => [
      "ink",
      under,
    ]),
    ["quiet", "token-prompt"],
    ["quiet", "erased"],
    ["ground", "strong"],
  ];

  it.each(pairs)("%s can be read on %s", (text, under) => {
    expect(contrast(theme[text] ?? "#000000", theme[under] ?? "#000000")).toBeGreaterThanOrEqual(
      4.5,
    );
  });

  it("has every colour", () => expect(Object.keys(theme)).toEqual(Object.keys(colours(light))));
});
