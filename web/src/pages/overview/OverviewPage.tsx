/** How the server is doing: requests, tokens, latency, mods, the engine, the writer of traces. */

import { useEffect } from "react";
import { health, metrics } from "../../api/health.ts";
import { statistics } from "../../api/logs.ts";
import { useLoad } from "../../app/load.ts";
import { go, useLocation } from "../../app/location.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { Now } from "./Now.tsx";
import { Past } from "./Past.tsx";
import { SPANS } from "./spans.ts";
import "../../style/overview.css";

const AGAIN_MS = 10_000;
const HOUR_MS = 3_600_000;

export default function OverviewPage() {
  const { query } = useLocation();
  const name = query.get("last") ?? "day";
  const span = SPANS[name] ?? SPANS.day!;
  const told = useLoad(`statistics ${name}`, (signal) => {
    const now = Date.now();
    const since = new Date(now - span.hours * HOUR_MS).toISOString();
    return statistics(since, new Date(now + HOUR_MS).toISOString(), span.step, signal);
  });
  const state = useLoad("health", health);
  const numbers = useLoad("metrics", metrics);
  const again = [told.again, state.again, numbers.again];
  useEffect(() => {
    document.title = "Overview · Concordance";
  }, []);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) for (const ask of again) ask();
    }, AGAIN_MS);
    return () => clearInterval(timer);
  });
  return (
    <section>
      <div className="row">
        <h1>Overview</h1>
        {Object.keys(SPANS).map((each) => (
          <button
            key={each}
            type="button"
            aria-pressed={each === name}
            onClick={() => go(`/overview?last=${each}`, true)}
          >
            last {each}
          </button>
        ))}
      </div>
      <Now state={state} numbers={numbers} />
      {told.value ? (
        <Past told={told.value} step={span.step} />
      ) : told.error ? (
        <Trouble error={told.error} onRetry={told.again} />
      ) : (
        <Waiting slow={told.slow} onRetry={told.again} />
      )}
    </section>
  );
}
