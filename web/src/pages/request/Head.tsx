import { type FormEvent, useState } from "react";
import { asApiError } from "../../api/errors.ts";
import { addTag, deleteLog, removeTag, setFavourite, type Trace } from "../../api/logs.ts";
import { count, moment, seconds } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { go } from "../../app/location.ts";
import { asked } from "../../trace/said.ts";
import { deeds, ending, statusOf } from "./happened.ts";

interface Props {
  trace: Trace;
  onChange: (change: (trace: Trace) => Trace) => void;
}

/** What came of the request, in words; its tags; and what can be done with it. */
export function Head({ trace, onChange }: Props) {
  const { request } = trace;
  const id = request.request_id;
  const usage = request.usage ?? {};
  const [complaint, setComplaint] = useState("");
  const [sure, setSure] = useState(false);
  const attempt = (work: Promise<unknown>) => {
    setComplaint("");
    work.catch((thrown: unknown) => setComplaint(asApiError(thrown).message));
  };
  const favour = () =>
    attempt(
      setFavourite(id, !trace.favourite).then(({ favourite }) =>
        onChange((now) => ({ ...now, favourite })),
      ),
    );
  const forget = () => attempt(deleteLog(id).then(() => go("/requests")));
  const retag = (work: Promise<unknown>, change: (tags: string[]) => string[]) =>
    attempt(work.then(() => onChange((now) => ({ ...now, tags: change(now.tags) }))));
  const tag = (name: string) =>
    retag(addTag(id, name), (tags) => [...new Set([...tags, name])].sort());
  const untag = (name: string) =>
    retag(removeTag(id, name), (tags) => tags.filter((each) => each !== name));

  return (
    <header className="head">
      <p className="path">
        <Link href="/requests">Requests</Link> / <code>{id}</code>
      </p>
      <h1>
        <button
          type="button"
          className="star"
          aria-pressed={trace.favourite}
          aria-label={trace.favourite ? "No longer a favourite" : "Make it a favourite"}
          onClick={favour}
        >
          {trace.favourite ? "★" : "☆"}
        </button>
        <span className={`status ${statusOf(trace)}`}>{statusOf(trace)}</span> {request.model}
      </h1>
      <p className="happened">
        {ending(trace)} {deeds(trace).join(" ")}
      </p>
      <Said trace={trace} />
      <p className="quiet">
        {moment(request.created_at)} · {seconds(elapsed(request.created_at, request.completed_at))}
        {request.first_token_at &&
          ` (first token after ${seconds(elapsed(request.created_at, request.first_token_at))})`}{" "}
        · {count(usage.prompt ?? 0)} prompt, {count(usage.sampled ?? 0)} sampled,{" "}
        {count(usage.forced ?? 0)} forced, {count(usage.erased ?? 0)} erased tokens
      </p>
      {request.parent_id && (
        <p>
          A replay of{" "}
          <Link href={`/requests/${encodeURIComponent(request.parent_id)}`}>
            {request.parent_id}
          </Link>
          {typeof request.parent_step === "number" && ` from round ${request.parent_step} on`} ·{" "}
          <Link
            href={`/compare/${encodeURIComponent(request.parent_id)}/${encodeURIComponent(id)}`}
          >
            see the two aligned
          </Link>
        </p>
      )}
      <div className="row">
        {trace.tags.map((name) => (
          <span className="chip tag" key={name}>
            {name}
            <button
              type="button"
              className="plain"
              aria-label={`Remove the tag ${name}`}
              onClick={() => untag(name)}
            >
              ×
            </button>
          </span>
        ))}
        <NewTag onTag={tag} />
        <Link href={`/requests?parent_id=${encodeURIComponent(id)}`}>Replays of this</Link>
        {sure ? (
          <>
            <button type="button" className="danger" onClick={forget}>
              Yes, delete it
            </button>
            <button type="button" className="plain" onClick={() => setSure(false)}>
              Keep it
            </button>
          </>
        ) : (
          <button type="button" className="plain" onClick={() => setSure(true)}>
            Delete …
          </button>
        )}
        {complaint && (
          <span className="warning" role="alert">
            That did not work: {complaint}
          </span>
        )}
      </div>
    </header>
  );
}

function Said({ trace }: { trace: Trace }) {
  return (
    <dl className="said">
      <dt>Asked</dt>
      <dd>{asked(trace) || "(no text)"}</dd>
      <dt>Answered</dt>
      <dd>{trace.request.final_text || "(nothing)"}</dd>
    </dl>
  );
}

function NewTag({ onTag }: { onTag: (tag: string) => void }) {
  const [tag, setTag] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (tag.trim()) onTag(tag.trim());
    setTag("");
  };
  return (
    <form onSubmit={submit}>
      <input
        className="short"
        maxLength={100}
        placeholder="add a tag"
        aria-label="Add a tag"
        value={tag}
        onChange={(event) => setTag(event.target.value)}
      />
    </form>
  );
}

function elapsed(start: string, end: string | null | undefined): number | null {
  return end ? (Date.parse(end) - Date.parse(start)) / 1000 : null;
}
