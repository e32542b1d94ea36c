import { useRef, useState } from "react";
import { type ApiError, asApiError } from "../../api/errors.ts";
import { deleteMod, type Mod, saveMod, showMod } from "../../api/mods.ts";
import { Link } from "../../app/Link.tsx";
import { go } from "../../app/location.ts";
import { mayLose, useUnsaved } from "../../app/unsaved.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { DryRunPanel } from "./DryRunPanel.tsx";
import { type Draft, draftOf, type Fault, faultOf, type Told, uploadOf } from "./draft.ts";
import { SourceFiles } from "./SourceFiles.tsx";

interface Props {
  /** What is stored, null for one that is new. */
  mod: Mod | null;
  begin: Draft;
  templates: string[];
}

interface Failed {
  error: ApiError;
  again: () => void;
}

export function Editor({ mod, begin, templates }: Props) {
  const [draft, setDraft] = useState(begin);
  /** What can be had again: as it began, or as it was saved, then under this name. */
  const [kept, setKept] = useState<{ draft: Draft; name?: string }>({ draft });
  const [file, setFile] = useState(Object.keys(draft.files)[0] ?? "");
  const [failed, setFailed] = useState<Failed | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const changed = draft !== kept.draft;
  useUnsaved(changed);
  /** For what ends later: one may have written on meanwhile. */
  const now = useRef({ draft, changed });
  now.current = { draft, changed };

  const edit = (next: Draft) => {
    setDraft(next);
    setFailed(null);
    setFault(null);
  };
  const blame = (told: readonly Told[]) => {
    const paths = Object.keys(now.current.draft.files);
    const found = told.map((each) => faultOf(each, paths)).find((each) => each !== null) ?? null;
    setFault(found);
    if (found) setFile(found.file);
  };
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setFailed(null);
    blame([]);
    try {
      await work();
    } catch (thrown) {
      const error = asApiError(thrown);
      setFailed({ error, again: () => void attempt(work) });
      blame([error]);
    } finally {
      setBusy(false);
    }
  };
  const save = async () => {
    const sent = now.current.draft;
    const { name } = await saveMod(uploadOf(sent));
    setKept({ draft: sent, name });
  };
  const forget = async (name: string) => {
    await deleteMod(name);
    go("/mods", true);
  };
  const use = async (name: string) => {
    const next = draftOf(await showMod(name), true);
    if (now.current.changed && !mayLose()) return;
    edit(next);
    setKept({ draft: next });
    setFile(Object.keys(next.files)[0] ?? "");
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
          <select
            value=""
            disabled={busy}
            onChange={({ target: { value } }) => void attempt(() => use(value))}
          >
            <option value="">a stock mod …</option>
            {templates.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" className="first" disabled={busy} onClick={() => void attempt(save)}>
          Save
        </button>
        {mod && !mod.shared && (
          <button
            type="button"
            className="danger"
            disabled={busy}
            onClick={() =>
              confirm(`Delete the mod “${mod.name}” for good?`) &&
              void attempt(() => forget(mod.name))
            }
          >
            Delete
          </button>
        )}
        {kept.name && !changed && (
          <span role="status">
            Saved. <Link href={`/playground?mods=${encodeURIComponent(kept.name)}`}>Try it</Link>
          </span>
        )}
        {mod?.built_in && (
          <span className="quiet">A stock mod: what you save is a mod of your own.</span>
        )}
      </div>
      {failed && <Trouble error={failed.error} onRetry={failed.again} />}
      <div className="writing">
        <SourceFiles
          files={draft.files}
          file={file}
          fault={fault}
          onFile={setFile}
          onChange={(source) => edit({ ...draft, files: { ...draft.files, [file]: source } })}
        />
        <DryRunPanel upload={() => uploadOf(draft)} onTold={blame} />
      </div>
    </section>
  );
}
