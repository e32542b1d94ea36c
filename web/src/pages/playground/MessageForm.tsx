import type { FormEvent } from "react";
import { beginAnew, change, isBusy, send, stop, usePlayground } from "./conversation.ts";
import { Elsewhere } from "./Elsewhere.tsx";

/** What is asked next, and how. */
export function MessageForm() {
  const { settings, turns, question, beside, complaint } = usePlayground();
  const busy = isBusy(turns);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };
  return (
    <form onSubmit={submit}>
      <textarea
        rows={3}
        aria-label="Your message"
        placeholder="Ask something. Ctrl+Enter sends it."
        value={question}
        onChange={(event) => change({ question: event.target.value })}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
        }}
      />
      <div className="row">
        <button
          type="submit"
          className="first"
          disabled={busy || !question.trim() || !settings.model}
        >
          Send
        </button>
        {busy && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
        {turns.length > 0 && (
          <button type="button" onClick={beginAnew}>
            New conversation
          </button>
        )}
        {settings.mods.length > 0 && (
          <label>
            <input
              type="checkbox"
              checked={beside}
              onChange={(event) => change({ beside: event.target.checked })}
            />{" "}
            beside it, without mods
          </label>
        )}
        <Elsewhere />
      </div>
      {complaint && (
        <p className="warning" role="alert">
          {complaint}
        </p>
      )}
    </form>
  );
}
