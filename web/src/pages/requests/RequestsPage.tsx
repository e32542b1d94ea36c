/** The list of requests: live, filtered by the server, its state in the address. */

import { useCallback, useEffect, useMemo, useState } from "react";
import { asApiError } from "../../api/errors.ts";
import { type Summary, setFavourite } from "../../api/logs.ts";
import { Link } from "../../app/Link.tsx";
import { go, useLocation } from "../../app/location.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { VirtualList } from "../../parts/VirtualList.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { Chosen, LiveSign, Newer } from "./BarLine.tsx";
import { FilterBar } from "./FilterBar.tsx";
import { addressOf, asked, type Filters, filtersOf, isLive, lastOf } from "./filters.ts";
import { RequestRow } from "./RequestRow.tsx";
import { useRunning } from "./running.ts";
import { useListing } from "./useListing.ts";

const ROW_HEIGHT = 64;
const TICK_MS = 10_000;

export default function RequestsPage() {
  const { query } = useLocation();
  const name = query.toString();
  const filters = useMemo(() => filtersOf(new URLSearchParams(name)), [name]);
  const last = lastOf(query);
  const { listing, change, begin, more, refresh, onTop } = useListing(name, {
    query: () => asked(filters, last),
    live: isLive(filters),
  });
  const live = useRunning(refresh);
  const now = useNow();
  const [chosen, setChosen] = useState<string[]>([]);
  const [complaint, setComplaint] = useState("");
  const [turn, setTurn] = useState(0);
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
      change({ type: "changed", row: changed });
      setComplaint("");
      setFavourite(row.request_id, changed.favourite).catch((thrown: unknown) => {
        change({ type: "changed", row });
        setComplaint(`It could not be made a favourite: ${asApiError(thrown).message}`);
      });
    },
    [change],
  );
  const narrow = (filters: Filters, last: string) => go(addressOf(filters, last), true);
  const showNewest = () => {
    setTurn(turn + 1);
    onTop(true);
  };
  const { rows, state, error } = listing;

  return (
    <section className="requests">
      <h1>Requests</h1>
      <FilterBar filters={filters} last={last} onChange={narrow} />
      <div className="bar-line" aria-live="polite">
        <LiveSign live={live} />
        <Newer count={listing.newer} onShow={showNewest} />
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
          key={turn}
          className="requests-list"
          label="Requests"
          count={rows.length}
          rowHeight={ROW_HEIGHT}
          onEnd={more}
          onTop={onTop}
          row={(index) => {
            const row = rows[index]!;
            return (
              <RequestRow
                key={row.request_id}
                row={row}
                now={now}
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

/** The time, every so often: what is told from it grows old by itself. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
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
