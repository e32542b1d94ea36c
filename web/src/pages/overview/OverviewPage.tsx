/** How the server is doing: requests, tokens, latency, mods, the engine, the writer of traces. */

import { useEffect } from "react";
import { health, metrics } from "../../api/health.ts";
import { statistics } from "../../api/logs.ts";
import { go, useLocation } from "../../app/location.ts";
import { Now } from "./Now.tsx";
import { Past } from "./Past.tsx";
import { Renewed, useRenewed } from "./renewed.tsx";
import { SPANS } from "./spans.ts";
import "../../style/overview.css";

const HOUR_MS = 3_600_000;

export default function OverviewPage() {
  const { query } = useLocation();
  const name = query.get("last") ?? "day";
  const span = SPANS[name] ?? SPANS.day!;
  const past = useRenewed(`statistics ${name}`, (signal) => {
    const now = Date.now();
    const since = new Date(now - span.hours * HOUR_MS).toISOString();
    return statistics(since, new Date(now + HOUR_MS).toISOString(), span.step, signal);
  });
  const state = useRenewed("health", health);
  const numbers = useRenewed("metrics", metrics);
  useEffect(() => {
    document.title = "Overview · Concordance";
  }, []);
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
      <Renewed loaded={state}>{(told) => <Now state={told} numbers={numbers} />}</Renewed>
      <Renewed loaded={past}>{(told) => <Past told={told} step={span.step} />}</Renewed>
    </section>
  );
}
