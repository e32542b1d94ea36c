/** The list of requests: live, filtered by the server, its state in the address. */

import { useCallback, useEffect, useMemo, useState } from "react";
import { asApiError } from "../../api/errors.ts";
import { type Summary, setFavourite } from "../../api/logs.ts";
import { Link } from "../../app/Link.tsx";
import { go, useLocation } from "../../app/location.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { VirtualList } from "../../parts/VirtualList.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { FilterBar } from "./FilterBar.tsx";
import { addressOf, asked, type Filters, filtersOf, isLive } from "./filters.ts";
import { useListing } from "./listing.ts";
import { RequestRow } from "./RequestRow.tsx";
import { useRunning } from "./running.ts";

const ROW_HEIGHT = 64;

export default function RequestsPage() {
  const { query } = useLocation();
  const name = query.toString();
  const filters = useMemo(() => filtersOf(new URLSearchParams(name)), [name]);
  const last = query.get("last") ?? "";
  const { listing, begin, more, refresh, setRow } = useListing(name, () => asked(filters, last));
  const live = useRunning(() => isLive(filters) && void refresh());
  const [chosen, setChosen] = useState<string[]>([]);
  const [complaint, setComplaint] = useState("");
  useEffect(() => {
    document.title = "Requests · Concordance";
  }, []);

  const choose = useCallback((id: string) => {
    setChosen((ids) =>
      ids.includes(id) ? ids.filter((other) => other !== id) : [...ids.slice(-1), id],
    );
  }, []);
  const favour = useCallback(
    (row: Summary) => {
      const changed = { ...row, favourite: !row.favourite };
      setRow(changed);
      setComplaint("");
      setFavourite(row.request_id, changed.favourite).catch((thrown: unknown) => {
        setRow(row);
        setComplaint(`It could not be made a favourite: ${asApiError(thrown).message}`);
      });
    },
    [setRow],
  );
  const change = (filters: Filters, last: string) => go(addressOf(filters, last), true);
  const { rows, state, error } = listing;

  return (
    <section className="requests">
      <h1>Requests</h1>
      <FilterBar filters={filters} last={last} onChange={change} />
      <div className="bar-line" aria-live="polite">
        <LiveSign live={live} />
        {complaint && <span className="warning">{complaint}</span>}
        <Chosen chosen={chosen} onClear={() => setChosen([])} />
      </div>
      {error && <Trouble error={error} onRetry={begin} />}
      {!error && rows.length === 0 && state !== "idle" && (
        <Waiting slow={state === "slow"} onRetry={begin} />
      )}
      {!error && rows.length === 0 && state === "idle" && <Nothing narrowed={name !== ""} />}
      {rows.length > 0 && (
        <VirtualList
          className="requests-list"
          label="Requests"
          count={rows.length}
          rowHeight={ROW_HEIGHT}
          onEnd={more}
          row={(index) => {
            const row = rows[index]!;
            return (
              <RequestRow
                key={row.request_id}
                row={row}
                fresh={listing.fresh.has(row.request_id)}
                chosen={chosen.includes(row.request_id)}
                onChoose={choose}
                onFavour={favour}
              />
            );
          }}
        />
      )}
      {rows.length > 0 && (
        <p className="quiet">
          {rows.length} shown
          {state === "more"
            ? ", more are coming …"
            : listing.next
              ? ", more below"
              : ", that is all"}
        </p>
      )}
    </section>
  );
}

function LiveSign({ live }: { live: ReturnType<typeof useRunning> }) {
  if (live.state === "connecting")
    return <span className="quiet">connecting to what goes on …</span>;
  if (live.state === "broken") {
    return <span className="warning">Not live at the moment; trying to connect again.</span>;
  }
  const running = [...live.running.values()];
  return (
    <span className="live">
      <span className="dot" aria-hidden="true" /> live
      {running.length > 0 && ` · ${running.length} under way`}
    </span>
  );
}

function Chosen({ chosen, onClear }: { chosen: string[]; onClear: () => void }) {
  const [a, b] = chosen;
  if (!a) return null;
  if (!b) return <span className="quiet">Choose one more to compare.</span>;
  return (
    <span className="row">
      <Link className="button" href={`/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`}>
        Compare the two
      </Link>
      <button type="button" className="plain" onClick={onClear}>
        Choose others
      </button>
    </span>
  );
}

function Nothing({ narrowed }: { narrowed: boolean }) {
  return (
    <div className="nothing">
      {narrowed ? (
        <>
          <p>No request fits these filters.</p>
          <Link href="/requests">Show all requests</Link>
        </>
      ) : (
        <>
          <p>No request has been made yet. Every one that is will appear here.</p>
          <Link href="/playground">Make the first one in the playground</Link>
        </>
      )}
    </div>
  );
}
