/** How the server is doing: requests, tokens, latency, mods, the engine, the writer of traces. */

import { useEffect } from "react";
import { type Health, health, metrics } from "../../api/health.ts";
import { type Statistics, statistics } from "../../api/logs.ts";
import { bytes, count, millis, percent, seconds } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { type Loaded, useLoad } from "../../app/load.ts";
import { go, useLocation } from "../../app/location.ts";
import { Bars } from "../../parts/Bars.tsx";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { filled, SPANS, totals } from "./spans.ts";
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

interface NowProps {
  state: Loaded<Health>;
  numbers: Loaded<ReadonlyMap<string, number>>;
}

function Now({ state, numbers }: NowProps) {
  if (state.error) return <Trouble error={state.error} onRetry={state.again} />;
  const told = state.value;
  if (!told) return <Waiting slow={state.slow} onRetry={state.again} />;
  const metric = (name: string) => numbers.value?.get(name);
  const whole = (name: string) => {
    const value = metric(name);
    return value === undefined ? "–" : count(value);
  };
  const { traces } = told;
  const dropped = Object.values(traces?.spool?.dropped ?? {}).reduce((a, b) => a + b, 0);
  const figures: [string, string][] = [
    ["engine", `${told.status}, ${told.backend}`],
    ["model", told.models.join(", ")],
    ["running", whole("vllm:num_requests_running")],
    ["waiting", whole("vllm:num_requests_waiting")],
    ["cache in use", percent(metric("vllm:kv_cache_usage_perc"))],
    ["sessions with mods", whole("concordance_sessions_running")],
    ["Postgres", traces?.postgres ?? "none"],
    ["writer", traces?.writer?.state ?? "none"],
    ["writer's lag", traces?.spool ? bytes(traces.spool.lag_bytes) : "–"],
    ["traces lost", count(dropped)],
  ];
  return (
    <>
      <dl className="figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {numbers.error && (
        <p className="quiet">Without the engine's numbers: {numbers.error.message}</p>
      )}
      {traces?.missing?.map((what) => (
        <p className="warning" key={what}>
          {what}
        </p>
      ))}
    </>
  );
}

function Past({ told, step }: { told: Statistics; step: number }) {
  const spans = filled(told, step);
  const all = totals(told);
  if (all.requests === 0) {
    return (
      <p className="nothing">
        No request in this time. <Link href="/playground">Make one in the playground</Link>
      </p>
    );
  }
  const named = (start: string) =>
    new Date(start).toLocaleString(
      [],
      step >= 24 ? { dateStyle: "short" } : { weekday: "short", hour: "2-digit" },
    );
  return (
    <div className="around">
      <section className="panel" aria-label="Requests">
        <h2>{count(all.requests)} requests</h2>
        <p className="quiet">
          {count(all.failed)} failed, {count(all.aborted)} aborted
        </p>
        <Bars
          label="Requests by time"
          bars={spans.map((span) => ({
            name: named(span.start),
            parts: [span.requests - span.failed - span.aborted, span.aborted, span.failed],
          }))}
          parts={[
            { name: "done", className: "done" },
            { name: "aborted", className: "aborted" },
            { name: "failed", className: "failed" },
          ]}
        />
      </section>
      <section className="panel" aria-label="Tokens">
        <h2>{count(all.sampled + all.forced + all.erased)} tokens</h2>
        <p className="quiet">
          {count(all.sampled)} sampled, {count(all.forced)} forced, {count(all.erased)} erased
        </p>
        <Bars
          label="Tokens by time and origin"
          bars={spans.map((span) => ({
            name: named(span.start),
            parts: [span.sampled_tokens, span.forced_tokens, span.erased_tokens],
          }))}
          parts={[
            { name: "sampled", className: "sampled" },
            { name: "forced", className: "forced" },
            { name: "erased", className: "erased" },
          ]}
        />
      </section>
      <section className="panel" aria-label="Latency">
        <h2>Latency</h2>
        <div className="scroll-x">
          <table>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col" className="number">
                  half within
                </th>
                <th scope="col" className="number">
                  95 %
                </th>
                <th scope="col" className="number">
                  99 %
                </th>
              </tr>
            </thead>
            <tbody>
              {told.requests.slice(-12).map((span) => (
                <tr key={span.start}>
                  <th scope="row">{named(span.start)}</th>
                  {["50", "95", "99"].map((part) => (
                    <td className="number" key={part}>
                      {seconds(span.latencies[part])}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <section className="panel" aria-label="Mods">
        <h2>What mods cost</h2>
        <div className="scroll-x">
          <table>
            <thead>
              <tr>
                <th scope="col">Mod</th>
                <th scope="col" className="number">
                  calls
                </th>
                <th scope="col" className="number">
                  failures
                </th>
                <th scope="col" className="number">
                  half within
                </th>
                <th scope="col" className="number">
                  99 %
                </th>
              </tr>
            </thead>
            <tbody>
              {told.mods.map((mod) => (
                <tr key={mod.mod}>
                  <th scope="row">
                    <Link href={`/requests?mod=${encodeURIComponent(mod.mod)}`}>{mod.mod}</Link>
                  </th>
                  <td className="number">{count(mod.calls)}</td>
                  <td className="number">{count(mod.failures)}</td>
                  <td className="number">{millis(mod.durations["50"])}</td>
                  <td className="number">{millis(mod.durations["99"])}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </div>
  );
}
