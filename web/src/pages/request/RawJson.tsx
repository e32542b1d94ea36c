import { useState } from "react";
import { rawLog } from "../../api/logs.ts";
import { useLoad } from "../../app/load.ts";
import { Copy } from "../../parts/Copy.tsx";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";

const MOST = 200_000;

/** The record as it is told, fetched when it is asked for. */
export function RawJson({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <section className="panel" aria-label="Raw record">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <h2>Raw JSON</h2>
        </summary>
        {open && <Record id={id} />}
      </details>
    </section>
  );
}

function Record({ id }: { id: string }) {
  const loaded = useLoad(`raw ${id}`, async (signal) =>
    JSON.stringify(await rawLog(id, signal), null, 1),
  );
  if (loaded.error) return <Trouble error={loaded.error} onRetry={loaded.again} />;
  if (loaded.value === null) return <Waiting slow={loaded.slow} onRetry={loaded.again} />;
  const text = loaded.value;
  return (
    <>
      <Copy text={text} words="Copy all of it" />
      <pre className="raw">
        {text.slice(0, MOST)}
        {text.length > MOST && "\n… (the rest is in what is copied)"}
      </pre>
    </>
  );
}
