/** The strip with what steers it: colours, folds, the scrubber, and the card of one token. */

import { useCallback, useEffect, useMemo, useState } from "react";
import type { Trace } from "../../api/logs.ts";
import type { Pieces } from "../../api/pieces.ts";
import { TokenStrip } from "../../parts/TokenStrip.tsx";
import { type Cell, presence } from "../../trace/cells.ts";
import { COLOURINGS, type Colouring, classOf, modColour } from "../../trace/colours.ts";
import { itemsOf } from "../../trace/items.ts";
import type { Item } from "../../trace/layout.ts";
import type { Telling } from "../../trace/telling.ts";
import { Scrubber } from "./Scrubber.tsx";
import { TokenCard } from "./TokenCard.tsx";

interface Props {
  trace: Trace;
  telling: Telling;
  cells: Cell[];
  pieces: Pieces;
  event: number;
  onEvent: (event: number) => void;
  selected: number;
  onSelect: (cell: number) => void;
}

const LONG_PROMPT = 400;

export function TokenView(props: Props) {
  const { trace, telling, cells, pieces, event, onEvent, selected, onSelect } = props;
  const prompt = trace.request.user_prompt_token_ids?.length ?? 0;
  const [colouring, setColouring] = useState<Colouring>("origin");
  const [folding, setFolding] = useState({ erased: false, prompt: prompt > LONG_PROMPT });
  const [hovered, setHovered] = useState(-1);
  // The latest wins: a pointer that rests on a token does not hold the card.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever one goes elsewhere
  useEffect(() => setHovered(-1), [selected, event]);
  const items = useMemo(() => itemsOf(cells, folding, event), [cells, folding, event]);
  const noted = useMemo(() => new Set(trace.notes.map((note) => note.step)), [trace.notes]);
  const styled = useCallback(
    (item: Item) => {
      const cell = cells[item.cell];
      if (!cell || item.kind !== "token") return item.kind;
      const gone = presence(cell, event) === "gone" ? " gone" : "";
      const note = cell.step >= 0 && noted.has(cell.step) ? " noted" : "";
      return classOf(cell, colouring) + gone + note;
    },
    [cells, colouring, event, noted],
  );
  const unfold = (item: Item) =>
    setFolding((old) => ({ ...old, [item.kind === "prompt" ? "prompt" : "erased"]: false }));
  const shown = cells[hovered >= 0 ? hovered : selected];

  return (
    <section className="token-view" aria-label="Tokens">
      <div className="row tools">
        <label>
          <span>Colours</span>
          <select
            value={colouring}
            onChange={(change) => setColouring(change.target.value as Colouring)}
          >
            {COLOURINGS.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          <input
            type="checkbox"
            checked={folding.erased}
            onChange={(change) => setFolding({ ...folding, erased: change.target.checked })}
          />{" "}
          fold erased
        </label>
        <label>
          <input
            type="checkbox"
            checked={folding.prompt}
            onChange={(change) => setFolding({ ...folding, prompt: change.target.checked })}
          />{" "}
          fold prompt
        </label>
        <Legend trace={trace} colouring={colouring} />
      </div>
      {cells.length === 0 ? (
        <p className="nothing">This trace has no tokens.</p>
      ) : (
        <TokenStrip
          items={items}
          classOf={styled}
          selected={selected}
          onSelect={onSelect}
          onHover={setHovered}
          onUnfold={unfold}
          label="Tokens of the prompt and the answer"
        />
      )}
      <Scrubber telling={telling} event={event} onEvent={onEvent} />
      <TokenCard cell={shown} trace={trace} telling={telling} pieces={pieces} />
    </section>
  );
}

function Legend({ trace, colouring }: { trace: Trace; colouring: Colouring }) {
  if (colouring !== "origin") {
    const [low, high] =
      colouring === "entropy"
        ? ["certain", "unsure"]
        : colouring === "latency"
          ? ["fast", "slow"]
          : ["likely", "unlikely"];
    return (
      <span className="legend">
        {low}
        {[0, 1, 2, 3, 4, 5, 6, 7].map((heat) => (
          <span key={heat} className={`token swatch heat-${heat}`} aria-hidden="true" />
        ))}
        {high}
      </span>
    );
  }
  return (
    <span className="legend">
      <span className="token prompt">prompt</span>
      <span className="token sampled">sampled</span>
      {(trace.request.mods ?? []).map((mod, place) => (
        <span className={`token forced mod-${modColour(place)}`} key={`${mod.name} ${place}`}>
          by {mod.name}
        </span>
      ))}
      <span className="token sampled gone">erased</span>
    </span>
  );
}
