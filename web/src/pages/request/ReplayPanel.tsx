import { useState } from "react";
import { type ApiError, asApiError } from "../../api/errors.ts";
import { replay, type Trace } from "../../api/logs.ts";
import { go } from "../../app/location.ts";
import { Trouble } from "../../parts/Trouble.tsx";

interface Props {
  trace: Trace;
  /** The round that is looked at, null for none. */
  step: number | null;
}

/** Runs the request again, from here or from its start, with its mods or with others. */
export function ReplayPanel({ trace, step }: Props) {
  const id = trace.request.request_id;
  const own = (trace.request.mods ?? []).map((mod) => mod.name).join(", ");
  const [from, setFrom] = useState<"start" | "here">("start");
  const [mods, setMods] = useState<string | null>(null);
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const run = async () => {
    setRunning(true);
    setError(null);
    try {
      const named = mods === null ? null : namesOf(mods);
      const made = await replay(id, from === "here" ? step : null, named);
      go(`/compare/${encodeURIComponent(id)}/${encodeURIComponent(made.request_id)}`);
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setRunning(false);
    }
  };
  return (
    <section className="panel" aria-label="Replay">
      <h2>Replay</h2>
      <div className="row">
        <label>
          <input type="radio" checked={from === "start"} onChange={() => setFrom("start")} /> from
          the start
        </label>
        <label>
          <input
            type="radio"
            disabled={step === null}
            checked={from === "here"}
            onChange={() => setFrom("here")}
          />{" "}
          {step === null ? "from a round (choose a token)" : `from round ${step}`}
        </label>
      </div>
      <div className="row">
        <label>
          <input
            type="checkbox"
            checked={mods !== null}
            onChange={(event) => setMods(event.target.checked ? own : null)}
          />{" "}
          with other mods
        </label>
        {mods !== null && (
          <input
            aria-label="Mods, separated by commas"
            placeholder="none"
            value={mods}
            onChange={(event) => setMods(event.target.value)}
          />
        )}
        <button type="button" onClick={() => void run()} disabled={running}>
          {running ? "Running …" : "Run it again"}
        </button>
      </div>
      {error && <Trouble error={error} onRetry={() => void run()} />}
    </section>
  );
}

export function namesOf(text: string): string[] {
  return text.split(/[,+\s]+/).filter(Boolean);
}
