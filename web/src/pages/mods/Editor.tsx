import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { type ApiError, asApiError } from "../../api/errors.ts";
import { type DryRunReply, deleteMod, type Mod, saveMod, showMod } from "../../api/mods.ts";
import { Link } from "../../app/Link.tsx";
import { go } from "../../app/location.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { DryRunPanel } from "./DryRunPanel.tsx";
import { type Draft, draftOf, failureText, faultOf, uploadOf } from "./draft.ts";

const CodeEditor = lazy(() => import("../../parts/CodeEditor.tsx"));

interface Props {
  /** What is stored, null for one that is new. */
  mod: Mod | null;
  begin: Draft;
  templates: string[];
}

export function Editor({ mod, begin, templates }: Props) {
  const [first] = useState(begin);
  const [draft, setDraft] = useState(first);
  const [file, setFile] = useState(Object.keys(first.files)[0] ?? "");
  const [error, setError] = useState<ApiError | null>(null);
  const [failed, setFailed] = useState("");
  const [saved, setSaved] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const paths = Object.keys(draft.files);
  const changed = draft !== first && saved === null;
  useUnsaved(changed);
  const faults = useMemo(() => {
    const files = Object.keys(draft.files);
    const told = error ?? (failed ? { message: failed } : null);
    const fault = told && faultOf(told, files);
    return fault && fault.file === file ? [fault] : [];
  }, [error, failed, file, draft.files]);

  const edit = (next: Draft) => {
    setDraft(next);
    setSaved(null);
    setError(null);
    setFailed("");
  };
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    setFailed("");
    try {
      await work();
    } catch (thrown) {
      const told = asApiError(thrown);
      setError(told);
      setFile((file) => faultOf(told, paths)?.file ?? file);
    } finally {
      setBusy(false);
    }
  };
  const save = () => attempt(async () => setSaved((await saveMod(uploadOf(draft))).name));
  const forget = () =>
    attempt(async () => {
      await deleteMod(mod?.name ?? "");
      go("/mods");
    });
  const use = (name: string) =>
    attempt(async () => {
      const next = draftOf(await showMod(name), true);
      edit(next);
      setFile(Object.keys(next.files)[0] ?? "");
    });
  const ran = (reply: DryRunReply) => {
    const text = reply.failures.map(failureText).join("\n");
    setFailed(text);
    const fault = faultOf({ message: text }, paths);
    if (fault) setFile(fault.file);
  };

  return (
    <section>
      <p className="path">
        <Link href="/mods">Mods</Link> / {mod?.name ?? "a new one"}
      </p>
      <h1>{mod?.name ?? "A new mod"}</h1>
      <div className="row tools">
        <label>
          <span>Name</span>
          <input
            value={draft.name}
            maxLength={64}
            placeholder="as in the source"
            onChange={(event) => edit({ ...draft, name: event.target.value })}
          />
        </label>
        <label>
          <span>Begin with</span>
          <select value="" onChange={(event) => void use(event.target.value)}>
            <option value="">a stock mod …</option>
            {templates.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" className="first" disabled={busy} onClick={() => void save()}>
          Save
        </button>
        {mod && !mod.shared && (
          <button type="button" className="danger" disabled={busy} onClick={() => void forget()}>
            Delete
          </button>
        )}
        {saved && (
          <span role="status">
            Saved. <Link href={`/playground?mods=${encodeURIComponent(saved)}`}>Try it</Link>
          </span>
        )}
        {mod?.built_in && (
          <span className="quiet">A stock mod: what you save is a mod of your own.</span>
        )}
      </div>
      {error && (
        <Trouble
          error={error}
          {...(error.kind === "refused" ? {} : { onRetry: () => void save() })}
        />
      )}
      <div className="writing">
        <div>
          {paths.length > 1 && (
            <div className="row" role="group" aria-label="Files">
              {paths.map((path) => (
                <button
                  key={path}
                  type="button"
                  aria-pressed={path === file}
                  onClick={() => setFile(path)}
                >
                  {path}
                </button>
              ))}
            </div>
          )}
          <Suspense fallback={<p className="quiet">Loading the editor …</p>}>
            <CodeEditor
              key={file}
              label={`Source of ${file}`}
              language="python"
              value={draft.files[file] ?? ""}
              faults={faults}
              onChange={(source) => edit({ ...draft, files: { ...draft.files, [file]: source } })}
            />
          </Suspense>
        </div>
        <DryRunPanel upload={() => uploadOf(draft)} onRan={ran} onRefused={setError} />
      </div>
    </section>
  );
}

/** Asks before what was written is lost by closing the page. */
function useUnsaved(unsaved: boolean): void {
  useEffect(() => {
    if (!unsaved) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [unsaved]);
}
