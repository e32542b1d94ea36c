import { memo } from "react";
import type { Summary } from "../../api/logs.ts";
import { ago, classes, count, moment, seconds } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { unmarked } from "../../trace/said.ts";

interface Props {
  row: Summary;
  /** What its age is told from. */
  now: number;
  fresh: boolean;
  chosen: boolean;
  onChoose: (id: string) => void;
  onFavour: (row: Summary) => void;
}

/** One request in two lines: what came of it, and what was asked and answered. */
export const RequestRow = memo(function RequestRow(props: Props) {
  const { row, now, fresh, chosen, onChoose, onFavour } = props;
  const href = `/requests/${encodeURIComponent(row.request_id)}`;
  return (
    <div className={classes("request", fresh && "fresh", chosen && "chosen")} role="listitem">
      <div className="handles">
        <button
          type="button"
          className="star"
          aria-pressed={row.favourite}
          aria-label={row.favourite ? "No longer a favourite" : "Make it a favourite"}
          onClick={() => onFavour(row)}
        >
          {row.favourite ? "★" : "☆"}
        </button>
        <input
          type="checkbox"
          aria-label="Compare this one"
          checked={chosen}
          onChange={() => onChoose(row.request_id)}
        />
      </div>
      <Link href={href} className="body" title={preview(row)}>
        <span className="facts">
          <span className={`status ${row.status}`}>{row.status}</span>
          <span title={moment(row.created_at)}>{ago(row.created_at, now)}</span>
          <span className="name">{row.model}</span>
          {row.mods.map((mod) => (
            <span className="chip mod" key={mod}>
              {mod}
            </span>
          ))}
          {row.tags.map((tag) => (
            <span className="chip tag" key={tag}>
              {tag}
            </span>
          ))}
          {row.parent_id && <span className="chip">replay</span>}
          <span className="figures">
            {seconds(row.latency)} · {count(row.output_tokens)} tokens
            <Share row={row} />
          </span>
        </span>
        <span className="words">
          <span className="asked">{unmarked(row.prompt) || "(no text)"}</span>
          <span aria-hidden="true"> → </span>
          <span className="answered">{row.output || "(nothing)"}</span>
        </span>
      </Link>
    </div>
  );
});

/** How the tokens came about, as a little bar. */
function Share({ row }: { row: Summary }) {
  const all = row.sampled_tokens + row.forced_tokens + row.erased_tokens;
  if (!all || all === row.sampled_tokens) return null;
  const words = `${row.sampled_tokens} sampled, ${row.forced_tokens} forced, ${row.erased_tokens} erased`;
  const part = (value: number) => `${(100 * value) / all}%`;
  return (
    <svg
      className="share"
      role="img"
      aria-label={words}
      viewBox="0 0 100 8"
      preserveAspectRatio="none"
    >
      <title>{words}</title>
      <rect className="sampled" width={part(row.sampled_tokens)} height="8" />
      <rect
        className="forced"
        x={part(row.sampled_tokens)}
        width={part(row.forced_tokens)}
        height="8"
      />
      <rect
        className="erased"
        x={part(row.sampled_tokens + row.forced_tokens)}
        width={part(row.erased_tokens)}
        height="8"
      />
    </svg>
  );
}

const preview = (row: Summary) => `${row.prompt}\n\n→ ${row.output}`;
