/** What happened, row by row. `n` and `p` go from one action to the next, wherever one is. */

import { useLayoutEffect, useMemo, useState } from "react";
import type { Trace } from "../../api/logs.ts";
import { type Pieces, pieceOf } from "../../api/pieces.ts";
import { classes, seconds } from "../../app/form.ts";
import { VirtualList } from "../../parts/VirtualList.tsx";
import type { Telling } from "../../trace/telling.ts";
import { effectOf, type Row, stops, subjectOf, timelineOf } from "../../trace/timeline.ts";

const ROW_HEIGHT = 52;

interface Props {
  trace: Trace;
  telling: Telling;
  pieces: Pieces;
  event: number;
  onShow: (event: number) => void;
}

export function Timeline({ trace, telling, pieces, event, onShow }: Props) {
  const [everything, setEverything] = useState(false);
  const [opened, setOpened] = useState<object | null>(null);
  const rows = useMemo(() => timelineOf(trace, telling, everything), [trace, telling, everything]);
  const at = rows.findIndex((row) => subjectOf(row) === opened);
  const open = (index: number) => {
    const row = rows[index];
    if (!row) return;
    setOpened(subjectOf(row));
    onShow(effectOf(row, telling));
  };
  useJumps(rows, at, open);
  const row = rows[at];
  return (
    <section className="timeline" aria-label="What happened">
      <div className="row tools">
        <h2>What happened</h2>
        <label>
          <input
            type="checkbox"
            checked={everything}
            onChange={(change) => setEverything(change.target.checked)}
          />{" "}
          every event
        </label>
        <span className="quiet">
          <kbd>n</kbd> next, <kbd>p</kbd> previous
        </span>
      </div>
      {rows.length === 0 ? (
        <p className="nothing">No mod did, printed or broke anything.</p>
      ) : (
        <VirtualList
          label="Events and actions"
          count={rows.length}
          rowHeight={ROW_HEIGHT}
          show={at}
          row={(index) => {
            const row = rows[index]!;
            return (
              <div role="listitem" key={index}>
                <button
                  type="button"
                  className={classes(
                    "happening",
                    row.kind,
                    index === at && "at",
                    (row.event === event || effectOf(row, telling) === event) && "now",
                  )}
                  onClick={() => open(index)}
                >
                  <Words row={row} telling={telling} pieces={pieces} />
                </button>
              </div>
            );
          }}
        />
      )}
      {row && <Detail row={row} pieces={pieces} />}
    </section>
  );
}

function Words({ row, telling, pieces }: { row: Row; telling: Telling; pieces: Pieces }) {
  const told = telling.events[row.event];
  const place = told ? `round ${told.step} · ${told.type}` : "–";
  const micros = row.kind === "event" || row.kind === "action" ? row.micros : null;
  return (
    <>
      <span className="where">{place}</span>
      <Took micros={micros} />
      <Deed row={row} pieces={pieces} />
    </>
  );
}

function Deed({ row, pieces }: { row: Row; pieces: Pieces }) {
  const read = (tokens: number[] = []) => textOf(tokens, pieces);
  switch (row.kind) {
    case "event":
      return (
        <span className="what quiet">
          {row.calls > 0 ? `${row.calls} ${row.calls === 1 ? "call" : "calls"}` : "no call"}
        </span>
      );
    case "action": {
      const { action } = row;
      return (
        <span className={classes("what", action.overridden && "overridden")}>
          <b>{action.mod_name}</b> {action.action_type}
          {action.backtrack_steps ? ` ${action.backtrack_steps}` : ""}{" "}
          {action.before?.length ? <del>{read(action.before)}</del> : null}{" "}
          {action.tokens?.length ? <ins>{read(action.tokens)}</ins> : null}
          {action.overridden && " (overridden)"}
        </span>
      );
    }
    case "log":
      return (
        <span className="what">
          <b>{row.log.mod_name}</b> prints: {row.log.log_message}
        </span>
      );
    case "failure":
      return (
        <span className="what">
          <b>{row.mod}</b> raised {row.failure.type}: {row.failure.message}
        </span>
      );
    case "note":
      return <span className="what">Note: {row.note.text}</span>;
  }
}

function Took({ micros }: { micros: number | null }) {
  return <span className="took">{micros ? seconds(micros / 1e6) : ""}</span>;
}

function Detail({ row, pieces }: { row: Row; pieces: Pieces }) {
  if (row.kind === "failure")
    return <pre className="detail">{row.failure.traceback || row.failure.message}</pre>;
  if (row.kind === "log") return <pre className="detail">{row.log.log_message}</pre>;
  if (row.kind === "note") return <pre className="detail">{row.note.text}</pre>;
  if (row.kind !== "action") return null;
  const { action } = row;
  const details = Object.entries(action.details ?? {});
  return (
    <div className="detail">
      {action.before?.length ? (
        <p>
          out: <del>{textOf(action.before, pieces, 2000)}</del>
        </p>
      ) : null}
      {action.tokens?.length ? (
        <p>
          in: <ins>{textOf(action.tokens, pieces, 2000)}</ins>
        </p>
      ) : null}
      {details.map(([name, value]) => (
        <p key={name}>
          {name}: {typeof value === "string" ? value : JSON.stringify(value)}
        </p>
      ))}
    </div>
  );
}

function textOf(tokens: number[], pieces: Pieces, most = 60): string {
  const text = tokens
    .slice(0, 200)
    .map((token) => pieceOf(pieces, token))
    .join("");
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

const TYPED_INTO = [
  "input:not([type=checkbox]):not([type=radio]):not([type=range])",
  "textarea, select, [contenteditable], .editor",
].join();

/** Keys work anywhere but where one types. */
function useJumps(rows: readonly Row[], at: number, open: (index: number) => void): void {
  // With the rows themselves: a key that comes right after they appear must count.
  useLayoutEffect(() => {
    const places = stops(rows);
    const press = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement | null)?.closest?.(TYPED_INTO);
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "n") open(places.find((place) => place > at) ?? places[0] ?? -1);
      if (event.key === "p") open(places.findLast((place) => place < at) ?? places.at(-1) ?? -1);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
}
