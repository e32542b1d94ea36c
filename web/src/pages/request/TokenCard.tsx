import type { Trace } from "../../api/logs.ts";
import { type Pieces, pieceOf } from "../../api/pieces.ts";
import { millis, percent } from "../../app/form.ts";
import type { Cell } from "../../trace/cells.ts";
import { display } from "../../trace/layout.ts";
import { STAYED, type Telling } from "../../trace/telling.ts";

interface Props {
  cell: Cell | undefined;
  trace: Trace;
  telling: Telling;
  pieces: Pieces;
}

/** One token: where it came from, how likely it was, and what else could have come. */
export function TokenCard({ cell, trace, telling, pieces }: Props) {
  if (!cell) {
    return (
      <p className="card quiet">
        Point at a token, or go along with ← and →, to see where it came from and what else could
        have come.
      </p>
    );
  }
  return (
    <div className="card" aria-live="polite">
      <p>
        <span className="token big">{display(cell.text).shown}</span> <code>{cell.token}</code>{" "}
        {origin(cell, trace)}
        {cell.step >= 0 && <> · round {cell.step}</>}
        {cell.milliseconds !== null && <> · {millis(cell.milliseconds)} after the one before</>}
      </p>
      {cell.erased !== STAYED && <p className="gone-words">{whyGone(cell, trace, telling)}</p>}
      <Alternatives cell={cell} trace={trace} pieces={pieces} />
    </div>
  );
}

function origin(cell: Cell, trace: Trace): string {
  if (cell.origin === "prompt") return "in the prompt";
  if (cell.origin === "sampled") return "drawn by the model";
  return `put in by ${trace.request.mods?.[cell.mod]?.name ?? "a mod"}`;
}

/** Whose answer took it out. */
function whyGone(cell: Cell, trace: Trace, telling: Telling): string {
  const told = telling.events[cell.erased];
  const action = trace.actions.find(
    (each) =>
      !each.overridden &&
      typeof each.mod_call_sequence === "number" &&
      trace.calls.events?.[each.mod_call_sequence] === cell.erased,
  );
  const where = told ? ` in round ${told.step}, at ${told.type}` : "";
  if (!action) return `It left the output${where}.`;
  return `${action.mod_name || "A mod"} took it out${where} (${action.action_type}).`;
}

function Alternatives({ cell, trace, pieces }: Omit<Props, "telling" | "cell"> & { cell: Cell }) {
  const tokens = trace.story.top_tokens?.[cell.entry] ?? [];
  const probabilities = trace.story.top_probabilities?.[cell.entry] ?? [];
  if (cell.origin !== "sampled") return null;
  if (!tokens.length) {
    return (
      <p className="quiet">
        {cell.probability !== null && <>It had a probability of {percent(cell.probability)}. </>}
        Alternatives are kept for requests with <code>"trace": "full"</code>.
      </p>
    );
  }
  const drawn = tokens.includes(cell.token);
  return (
    <>
      <p className="quiet">
        entropy {cell.entropy?.toFixed(2) ?? "–"} nats · margin {percent(cell.margin)}
        {!drawn && <> · what was drawn had {percent(cell.probability)}</>}
      </p>
      <ol className="alternatives">
        {tokens.map((token, place) => (
          <li key={token} className={token === cell.token ? "drawn" : undefined}>
            <span className="token">{display(pieceOf(pieces, token)).shown}</span>
            <meter min={0} max={1} value={probabilities[place] ?? 0} aria-hidden="true" />
            <span>{percent(probabilities[place])}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
