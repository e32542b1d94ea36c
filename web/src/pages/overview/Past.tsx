import type { Statistics } from "../../api/logs.ts";
import { count, millis, seconds } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { Bars } from "../../parts/Bars.tsx";
import { filled, totals } from "./spans.ts";

/** Requests, tokens, latency and mods over the chosen time. */
export function Past({ told, step }: { told: Statistics; step: number }) {
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
