/** The line above the list: whether it is live, what is new, and what was chosen to compare. */

import { Link } from "../../app/Link.tsx";
import { PAGE } from "./listing.ts";
import type { useRunning } from "./running.ts";

export function LiveSign({ live }: { live: ReturnType<typeof useRunning> }) {
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

/** What came while one looks further down, where nothing moves. */
export function Newer({ count, onShow }: { count: number; onShow: () => void }) {
  if (count === 0) return null;
  return (
    <button type="button" onClick={onShow}>
      Show {count === PAGE ? `${PAGE}+` : count} new
    </button>
  );
}

export function Chosen({ chosen, onClear }: { chosen: string[]; onClear: () => void }) {
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
