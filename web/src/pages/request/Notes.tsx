import { type FormEvent, useState } from "react";
import { asApiError } from "../../api/errors.ts";
import { addNote, deleteNote, type Trace } from "../../api/logs.ts";
import { ago } from "../../app/form.ts";

interface Props {
  trace: Trace;
  /** The round that is looked at, null for the whole. */
  step: number | null;
  onChange: (change: (trace: Trace) => Trace) => void;
}

/** What people wrote about the request, or about one of its rounds. */
export function Notes({ trace, step, onChange }: Props) {
  const id = trace.request.request_id;
  const [text, setText] = useState("");
  const [anchored, setAnchored] = useState(true);
  const [sending, setSending] = useState(false);
  const [complaint, setComplaint] = useState("");
  const attempt = async (work: Promise<void>) => {
    setComplaint("");
    await work.catch((thrown: unknown) => setComplaint(asApiError(thrown).message));
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim() || sending) return;
    setSending(true);
    await attempt(
      addNote(id, text.trim(), anchored ? step : null).then((note) => {
        setText((now) => (now.startsWith(text) ? now.slice(text.length) : now));
        onChange((now) => ({ ...now, notes: [...now.notes, note] }));
      }),
    );
    setSending(false);
  };
  const remove = (note: number) =>
    attempt(
      deleteNote(id, note).then(() =>
        onChange((now) => ({ ...now, notes: now.notes.filter((each) => each.id !== note) })),
      ),
    );
  return (
    <section className="panel" aria-label="Notes">
      <h2>Notes</h2>
      <ul className="notes">
        {trace.notes.map((note) => (
          <li key={note.id}>
            <p className="text">{note.text}</p>
            <p className="quiet">
              {note.caller}, {ago(note.created_at)}
              {note.step !== null && `, round ${note.step}`}{" "}
              <button type="button" className="plain" onClick={() => remove(note.id)}>
                delete
              </button>
            </p>
          </li>
        ))}
      </ul>
      <form onSubmit={submit}>
        <textarea
          rows={2}
          maxLength={10_000}
          aria-label="A new note"
          placeholder="Write a note"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <div className="row">
          <button type="submit" disabled={!text.trim() || sending}>
            Add the note
          </button>
          {step !== null && (
            <label>
              <input
                type="checkbox"
                checked={anchored}
                onChange={(event) => setAnchored(event.target.checked)}
              />{" "}
              about round {step}
            </label>
          )}
        </div>
      </form>
      {complaint && (
        <p className="warning" role="alert">
          It could not be saved: {complaint}
        </p>
      )}
    </section>
  );
}
