/** An error in plain words, with a way on. */

import { type FormEvent, useState } from "react";
import type { ApiError } from "../api/errors.ts";
import { isKey, setKey } from "../api/key.ts";
import { Link } from "../app/Link.tsx";

const WORDS: Record<ApiError["kind"], [string, string]> = {
  away: [
    "The server does not answer",
    "It may be starting (that takes up to a minute), or it was stopped. Start it with “make serve”, then try again.",
  ],
  slow: [
    "The server is too slow to answer",
    "It is there but busy. Try again in a moment; a narrower filter helps, too.",
  ],
  locked: [
    "This server wants a key",
    "None was given, or the one that was given is no longer good.",
  ],
  gone: ["This is not there", "It was deleted, has never been, or is not stored yet."],
  storage: [
    "The server cannot read its traces at the moment",
    "Its database is away or still starting. Requests are answered and kept meanwhile.",
  ],
  busy: ["The server cannot do this at the moment", "Wait a little, then try again."],
  refused: ["The server does not accept this", "Change what it names, then try again."],
  broken: [
    "Something went wrong in the server",
    "Try again. If it stays so, the server's log says more.",
  ],
  cut: [
    "The stream broke",
    "The connection ended before the answer was whole. What had come is kept.",
  ],
};

interface Props {
  error: ApiError;
  onRetry?: (() => void) | undefined;
  /** Where a person can go on from here. */
  home?: { href: string; words: string };
}

export function Trouble({ error, onRetry, home }: Props) {
  const [title, advice] = WORDS[error.kind];
  return (
    <div className="trouble" role="alert">
      <strong>{title}</strong>
      <p>{advice}</p>
      {error.message && <p className="detail">{error.message}</p>}
      {error.kind === "locked" && <KeyForm onGiven={onRetry} />}
      <div className="row">
        {onRetry && error.kind !== "locked" && (
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        )}
        {home && <Link href={home.href}>{home.words}</Link>}
      </div>
    </div>
  );
}

function KeyForm({ onGiven }: { onGiven?: (() => void) | undefined }) {
  const [given, setGiven] = useState("");
  const [remember, setRemember] = useState(false);
  const [unfit, setUnfit] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const key = given.trim();
    setUnfit(!isKey(key));
    if (!isKey(key)) return;
    setKey(key, remember);
    onGiven?.();
  };
  return (
    <form className="row" onSubmit={submit}>
      <label>
        Key{" "}
        <input
          type="password"
          autoComplete="off"
          value={given}
          onChange={(event) => setGiven(event.target.value)}
        />
      </label>
      <label>
        <input
          type="checkbox"
          checked={remember}
          onChange={(event) => setRemember(event.target.checked)}
        />{" "}
        keep it in this browser
      </label>
      <button type="submit">Use this key</button>
      {unfit && (
        <span className="warning">
          This cannot be a key: keys have only plain letters, digits and signs such as “-”. Copy all
          of it again.
        </span>
      )}
    </form>
  );
}
