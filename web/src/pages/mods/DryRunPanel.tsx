import { useEffect, useRef, useState } from "react";
import { type ApiError, asApiError } from "../../api/errors.ts";
import { type DryRunReply, dryRun, type Upload } from "../../api/mods.ts";
import { classes } from "../../app/form.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { display } from "../../trace/layout.ts";
import { failureText, type Told } from "./draft.ts";

interface Props {
  upload: () => Upload;
  /** What went wrong in a run; nothing as one begins. */
  onTold: (told: readonly Told[]) => void;
}

/** Runs what is in the editor, without saving it. */
export function DryRunPanel({ upload, onTold }: Props) {
  const [scripted, setScripted] = useState(false);
  const [prompt, setPrompt] = useState("Hi");
  const [text, setText] = useState("");
  const [reply, setReply] = useState<DryRunReply | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [running, setRunning] = useState(false);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const run = async () => {
    stop.current = new AbortController();
    const { signal } = stop.current;
    setRunning(true);
    setReply(null);
    setError(null);
    onTold([]);
    try {
      const own = scripted ? { scripted, ...(text ? { text } : {}) } : { max_tokens: 128 };
      const told = await dryRun(upload(), { prompt: prompt || "Hi", ...own }, signal);
      setReply(told);
      onTold(told.failures.map((failure) => ({ message: failureText(failure) })));
    } catch (thrown) {
      if (signal.aborted) return;
      const refused = asApiError(thrown);
      setError(refused);
      onTold([refused]);
    } finally {
      setRunning(false);
    }
  };
  return (
    <section className="panel" aria-label="Dry run">
      <h2>Dry run</h2>
      <div className="row">
        <label>
          <input type="radio" checked={!scripted} onChange={() => setScripted(false)} /> the
          server's model
        </label>
        <label>
          <input type="radio" checked={scripted} onChange={() => setScripted(true)} /> a scripted
          model, and the laws
        </label>
      </div>
      <label>
        <span>Prompt</span>
        <textarea rows={2} value={prompt} onChange={(event) => setPrompt(event.target.value)} />
      </label>
      {scripted && (
        <label>
          <span>What the model writes (empty: letters at random)</span>
          <textarea
            rows={2}
            maxLength={512}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
      )}
      <div className="row">
        <button type="button" disabled={running} onClick={() => void run()}>
          {running ? "Running …" : "Run it"}
        </button>
        {running && (
          <button type="button" onClick={() => stop.current?.abort()}>
            Stop
          </button>
        )}
      </div>
      {error && <Trouble error={error} onRetry={() => void run()} />}
      {reply && <Outcome reply={reply} />}
    </section>
  );
}

function Outcome({ reply }: { reply: DryRunReply }) {
  const { sampled_tokens = 0, forced_tokens = 0, erased_tokens = 0 } = reply.usage;
  return (
    <div aria-live="polite">
      <p className={reply.status < 400 ? "quiet" : "warning"}>
        {reply.status < 400 ? reply.finish_reason : `${reply.status}: ${reply.message}`} ·{" "}
        {sampled_tokens} sampled, {forced_tokens} forced, {erased_tokens} erased
      </p>
      <p className="output">
        {reply.tokens.map((token, place) => (
          <span
            key={place}
            title={token.mod ? `put in by ${token.mod}` : "drawn"}
            className={classes("token", token.origin === "forced" ? "forced mod-0" : "sampled")}
          >
            {display(token.text).shown}
          </span>
        ))}
      </p>
      <Laws reply={reply} />
      {reply.failures.map((failure, place) => (
        <pre className="warning" key={place}>
          {failureText(failure)}
        </pre>
      ))}
      {reply.prints.map((print, place) => (
        <p key={place}>
          <b>{print.mod}</b> prints: {print.text}
        </p>
      ))}
      {reply.actions.length > 0 && (
        <ol className="acts">
          {reply.actions.map((action, place) => (
            <li key={place}>
              round {String(action.step)}, {String(action.event)}: <b>{String(action.action)}</b>
              {action.n ? ` ${String(action.n)}` : ""}
              {action.overridden ? " (overridden)" : ""}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function Laws({ reply }: { reply: DryRunReply }) {
  const { laws } = reply;
  if (!laws?.checked) return null;
  if (!laws.broken) {
    return (
      <p>
        It keeps the laws: {laws.runs} runs, {laws.calls} calls
        {laws.complete ? "" : " (time was up before all runs were made)"}.
        {Object.keys(laws.acted).length === 0 && " It never did anything in them."}
      </p>
    );
  }
  const { law, name, what, script, story } = laws.broken;
  return (
    <div className="warning">
      <p>
        Law {law} is broken ({name}): {what}
      </p>
      <pre>{[script, "", ...story].join("\n")}</pre>
    </div>
  );
}
