import { useEffect, useRef, useState } from "react";
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
  const [state, setState] = useState<"idle" | "running" | "stopped">("idle");
  const [error, setError] = useState<ApiError | null>(null);
  const running = useRef<AbortController | null>(null);
  // Whoever has gone to another page is not taken away from it.
  useEffect(() => () => running.current?.abort(), []);
  const run = async () => {
    running.current = new AbortController();
    const { signal } = running.current;
    setState("running");
    setError(null);
    try {
      const named = mods === null ? null : namesOf(mods);
      const made = await replay(id, from === "here" ? step : null, named, signal);
      if (signal.aborted) return;
      go(`/compare/${encodeURIComponent(id)}/${encodeURIComponent(made.request_id)}`);
    } catch (thrown) {
      if (signal.aborted) return;
      setError(asApiError(thrown));
      setState("idle");
    }
  };
  const stop = () => {
    running.current?.abort();
    setState("stopped");
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
        <button type="button" onClick={() => void run()} disabled={state === "running"}>
          Run it again
        </button>
        {state === "running" && (
          <>
            <button type="button" onClick={stop}>
              Stop
            </button>
            <Elapsed />
          </>
        )}
      </div>
      {state === "stopped" && (
        <p className="quiet">
          It is not waited for any more. If the server ends it, it is under “Replays of this”.
        </p>
      )}
      {error && <Trouble error={error} onRetry={() => void run()} />}
    </section>
  );
}

/** How long it has been there. */
function Elapsed() {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const begun = Date.now();
    const timer = setInterval(() => setSeconds(Math.round((Date.now() - begun) / 1000)), 1000);
    return () => clearInterval(timer);
  }, []);
  return <span className="quiet">Running … {seconds} s</span>;
}

export function namesOf(text: string): string[] {
  return text.split(/[,+\s]+/).filter(Boolean);
}
