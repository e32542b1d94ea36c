/** Stacked bars over time, drawn by hand. A table behind it says the same. */

const WIDTH = 600;
const HEIGHT = 140;

export interface Bar {
  name: string;
  parts: number[];
}

interface Props {
  bars: Bar[];
  /** What each part is, and the class that colours it. */
  parts: { name: string; className: string }[];
  label: string;
}

export function Bars({ bars, parts, label }: Props) {
  const most = Math.max(1, ...bars.map((bar) => bar.parts.reduce((a, b) => a + b, 0)));
  const wide = WIDTH / Math.max(1, bars.length);
  return (
    <figure className="bars">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        {bars.map((bar, place) => {
          let below = 0;
          return (
            <g key={place}>
              <title>{`${bar.name}: ${parts.map((part, n) => `${bar.parts[n] ?? 0} ${part.name}`).join(", ")}`}</title>
              {bar.parts.map((value, n) => {
                const high = (value / most) * HEIGHT;
                below += high;
                return (
                  <rect
                    key={parts[n]?.name}
                    className={parts[n]?.className}
                    x={place * wide + wide * 0.08}
                    y={HEIGHT - below}
                    width={wide * 0.84}
                    height={high}
                  />
                );
              })}
            </g>
          );
        })}
      </svg>
      <figcaption className="quiet">
        {parts.map((part) => (
          <span key={part.name} className="key">
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <rect className={part.className} width="10" height="10" />
            </svg>
            {part.name}
          </span>
        ))}
        at most {most.toLocaleString("en")} · {bars[0]?.name} to {bars.at(-1)?.name}
      </figcaption>
    </figure>
  );
}
