import { useEffect, useState } from "react";
import { openLog, type Trace } from "../../api/logs.ts";
import { piecesOf } from "../../api/pieces.ts";
import { classes } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { TokenStrip } from "../../parts/TokenStrip.tsx";
import { Trouble } from "../../parts/Trouble.tsx";
import { type Cell, cellsOf, idsOf } from "../../trace/cells.ts";
import { classOf } from "../../trace/colours.ts";
import { itemsOf } from "../../trace/items.ts";
import { STAYED, tell } from "../../trace/telling.ts";
import { deeds } from "../request/happened.ts";
import { type Reply, textOf } from "./reply.ts";

interface Props {
  reply: Reply;
  label: string;
  onRetry: (() => void) | undefined;
}

/** One answer: its text, its pieces as they come and go, and, once it is stored, its tokens. */
export function ReplyView({ reply, label, onRetry }: Props) {
  const text = textOf(reply);
  const [closer, setCloser] = useState(false);
  const ended = reply.state !== "running";
  const erased = reply.pieces.some((piece) => piece.gone);
  return (
    <div className="reply" aria-label={label} role="group">
      <p className="quiet">
        {label}
        {reply.state === "running" && " · writing …"}
        {reply.state === "stopped" && " · stopped"}
        {reply.usage && <Usage usage={reply.usage} />}
      </p>
      <div className="text" aria-live="off">
        {erased || reply.state === "running" ? (
          reply.pieces.map((piece, place) => (
            <span key={place} className={classes("piece", piece.gone && "gone")}>
              {piece.text}
            </span>
          ))
        ) : (
          <span>{text || (ended && !reply.error && !reply.tools.length ? "(nothing)" : "")}</span>
        )}
      </div>
      {reply.tools.length > 0 && <pre>{JSON.stringify(reply.tools.flat(), null, 2)}</pre>}
      {reply.error && <Trouble error={reply.error} onRetry={onRetry} />}
      {ended && reply.id && (
        <div className="row">
          <button type="button" aria-pressed={closer} onClick={() => setCloser(!closer)}>
            Token by token
          </button>
          <Link href={`/requests/${encodeURIComponent(reply.id)}`}>Open the request</Link>
        </div>
      )}
      {closer && ended && reply.id && <Closer key={reply.id} id={reply.id} />}
    </div>
  );
}

function Usage({ usage }: { usage: Record<string, unknown> }) {
  const parts = ["sampled", "forced", "erased"].flatMap((name) => {
    const value = usage[`${name}_tokens`];
    return typeof value === "number" && value > 0 ? [`${value} ${name}`] : [];
  });
  const all = usage.completion_tokens;
  return <> · {parts.length ? parts.join(", ") : `${String(all ?? "?")} tokens`}</>;
}

interface Stored {
  trace: Trace;
  cells: Cell[];
}

/** The trace is stored a moment after the answer's end: it is asked for a few times. */
function Closer({ id }: { id: string }) {
  const [stored, setStored] = useState<Stored | null>(null);
  const [missing, setMissing] = useState(false);
  const [selected, setSelected] = useState(-1);
  useEffect(() => {
    const stop = new AbortController();
    fetchStored(id, stop.signal)
      .then(setStored)
      .catch(() => !stop.signal.aborted && setMissing(true));
    return () => stop.abort();
  }, [id]);
  if (missing) {
    return (
      <p className="quiet">
        The trace is not there yet, or traces are not stored. Open the request to look again.
      </p>
    );
  }
  if (!stored) return <p className="quiet">Fetching the tokens …</p>;
  const { trace, cells } = stored;
  const cell = cells[selected];
  return (
    <>
      <p>{deeds(trace).join(" ")}</p>
      <TokenStrip
        items={itemsOf(cells, { erased: false, prompt: true })}
        classOf={(item) => {
          const cell = cells[item.cell];
          if (!cell || item.kind !== "token") return item.kind;
          return classOf(cell, "origin") + (cell.erased === STAYED ? "" : " gone");
        }}
        selected={selected}
        onSelect={setSelected}
        label="Tokens of the answer"
      />
      {cell && (
        <p className="quiet">
          {cell.origin}
          {cell.mod >= 0 && ` by ${trace.request.mods?.[cell.mod]?.name ?? "a mod"}`}
        </p>
      )}
    </>
  );
}

const TRIES = 8;

async function fetchStored(id: string, signal: AbortSignal): Promise<Stored> {
  for (let turn = 1; ; turn += 1) {
    try {
      const trace = await openLog(id, signal);
      const texts = await piecesOf(idsOf(trace), signal);
      return { trace, cells: cellsOf(trace, tell(trace.story), texts) };
    } catch (error) {
      if (turn === TRIES || signal.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 150 * turn));
  }
}
