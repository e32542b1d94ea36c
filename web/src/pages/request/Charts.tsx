import { useState } from "react";
import { millis, percent } from "../../app/form.ts";
import { Series } from "../../parts/Series.tsx";
import type { Cell } from "../../trace/cells.ts";

const CHARTS = {
  probability: { of: (cell: Cell) => cell.probability, told: percent },
  entropy: {
    of: (cell: Cell) => cell.entropy,
    told: (value: number) => `${value.toFixed(2)} nats`,
  },
  latency: { of: (cell: Cell) => cell.milliseconds, told: millis },
};

interface Props {
  cells: Cell[];
  selected: number;
  onSelect: (cell: number) => void;
}

/** Probability, entropy and latency, token by token. */
export function Charts({ cells, selected, onSelect }: Props) {
  const [name, setName] = useState<keyof typeof CHARTS>("probability");
  const chart = CHARTS[name];
  const first = cells.findIndex((cell) => cell.entry === 0);
  const values = first < 0 ? [] : cells.slice(first).map(chart.of);
  return (
    <section className="panel" aria-label="Charts">
      <div className="row">
        <h2>By token</h2>
        {Object.keys(CHARTS).map((each) => (
          <button
            key={each}
            type="button"
            aria-pressed={each === name}
            onClick={() => setName(each as keyof typeof CHARTS)}
          >
            {each}
          </button>
        ))}
      </div>
      {values.some((value) => value !== null) ? (
        <Series
          values={values}
          told={chart.told}
          label={`${name} by token`}
          at={selected - first}
          onPick={(index) => onSelect(first + index)}
        />
      ) : (
        <p className="quiet">
          This trace has no {name}. Requests with <code>"trace": "full"</code> keep all of them.
        </p>
      )}
    </section>
  );
}
