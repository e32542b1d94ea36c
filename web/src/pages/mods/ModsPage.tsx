/** The mods that requests can name, and what each came to in the last day. */

import { useEffect } from "react";
import { type Statistics, statistics } from "../../api/logs.ts";
import { listMods, type Mod } from "../../api/mods.ts";
import { count, millis } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { useLoad } from "../../app/load.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";

const DAY_MS = 86_400_000;

export default function ModsPage() {
  const mods = useLoad("mods", listMods);
  const told = useLoad("mods' day", (signal) =>
    statistics(new Date(Date.now() - DAY_MS).toISOString(), soon(), 24, signal),
  );
  useEffect(() => {
    document.title = "Mods · Concordance";
  }, []);
  return (
    <section>
      <div className="row">
        <h1>Mods</h1>
        <Link className="button" href="/mods/~new">
          Write a mod
        </Link>
      </div>
      {told.error && <p className="quiet">Without statistics, for now: {told.error.message}</p>}
      {mods.error ? (
        <Trouble error={mods.error} onRetry={mods.again} />
      ) : mods.value ? (
        <Table mods={mods.value} day={told.value} />
      ) : (
        <Waiting slow={mods.slow} onRetry={mods.again} />
      )}
    </section>
  );
}

function Table({ mods, day }: { mods: Mod[]; day: Statistics | null }) {
  const rows = [...mods].sort(
    (a, b) => Number(a.built_in) - Number(b.built_in) || a.name.localeCompare(b.name),
  );
  return (
    <div className="scroll-x">
      <table>
        <thead>
          <tr>
            <th scope="col">Mod</th>
            <th scope="col">What it does</th>
            <th scope="col" className="number">
              Requests, last day
            </th>
            <th scope="col" className="number">
              Failures
            </th>
            <th scope="col" className="number">
              Tokens in / out
            </th>
            <th scope="col" className="number">
              A call, half / 99 %
            </th>
            <th scope="col">Try</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((mod) => (
            <Row key={mod.name} mod={mod} day={day?.mods.find((each) => each.mod === mod.name)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ mod, day }: { mod: Mod; day: Statistics["mods"][number] | undefined }) {
  return (
    <tr>
      <th scope="row" className="shut">
        <Link href={`/mods/${encodeURIComponent(mod.name)}`}>{mod.name}</Link>
        {mod.built_in && <span className="quiet"> stock</span>}
      </th>
      <td>
        {mod.description || <span className="quiet">{mod.entry}</span>}
        {mod.set_aside && <p className="warning">It may not run: {mod.set_aside}</p>}
      </td>
      <td className="number">
        {day ? (
          <Link href={`/requests?mod=${encodeURIComponent(mod.name)}`}>{count(day.requests)}</Link>
        ) : (
          "–"
        )}
      </td>
      <td className="number">{day ? count(day.failures) : "–"}</td>
      <td className="number">
        {day ? `${count(day.forced_tokens)} / ${count(day.erased_tokens)}` : "–"}
      </td>
      <td className="number">
        {day ? `${millis(day.durations["50"])} / ${millis(day.durations["99"])}` : "–"}
      </td>
      <td className="shut">
        <Link href={`/playground?mods=${encodeURIComponent(mod.name)}`}>Try it</Link>
      </td>
    </tr>
  );
}

/** The hour that runs counts, too. */
const soon = () => new Date(Date.now() + 3_600_000).toISOString();
