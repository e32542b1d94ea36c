/** A line of values, drawn by hand. Many values are drawn as the least and the most of each spot. */

import { type MouseEvent, useMemo } from "react";

const WIDTH = 600;
const HEIGHT = 120;

interface Props {
  values: (number | null)[];
  told: (value: number) => string;
  label: string;
  /** The value that is marked. */
  at?: number;
  onPick?: (index: number) => void;
}

export function Series({ values, told, label, at = -1, onPick }: Props) {
  const most = useMemo(() => values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0), [values]);
  const path = useMemo(() => pathOf(values, most || 1), [values, most]);
  const pick = (event: MouseEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    onPick?.(Math.max(0, Math.min(values.length - 1, Math.floor(share * values.length))));
  };
  const marked = values[at];
  return (
    <figure className="series">
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the strip's arrow keys choose tokens */}
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${label}, at most ${told(most)}`}
        onClick={pick}
      >
        <path d={path} className="line" vectorEffect="non-scaling-stroke" />
        {at >= 0 && at < values.length && (
          <line className="mark" x1={xOf(at, values)} x2={xOf(at, values)} y1={0} y2={HEIGHT} />
        )}
      </svg>
      <figcaption className="quiet">
        0 to {told(most)}
        {typeof marked === "number" && <> · here {told(marked)}</>}
      </figcaption>
    </figure>
  );
}

const xOf = (index: number, values: unknown[]) => ((index + 0.5) / values.length) * WIDTH;

/** An SVG path. A gap in the values is a gap in the line. */
export function pathOf(values: (number | null)[], most: number): string {
  const spot = Math.max(1, Math.ceil(values.length / WIDTH));
  const parts: string[] = [];
  let down = false;
  for (let start = 0; start < values.length; start += spot) {
    const known = values.slice(start, start + spot).filter((value) => value !== null);
    if (!known.length) {
      down = false;
      continue;
    }
    const x = xOf(start + (Math.min(spot, values.length - start) - 1) / 2, values).toFixed(1);
    const y = (value: number) => (HEIGHT - 2 - (value / most) * (HEIGHT - 4)).toFixed(1);
    parts.push(`${down ? "L" : "M"}${x} ${y(Math.max(...known))}`);
    if (known.length > 1) parts.push(`L${x} ${y(Math.min(...known))}`);
    down = true;
  }
  return parts.join("");
}
