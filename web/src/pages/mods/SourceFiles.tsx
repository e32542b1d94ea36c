import { lazy, Suspense, useMemo } from "react";
import type { Draft, Fault } from "./draft.ts";

const CodeEditor = lazy(() => import("../../parts/CodeEditor.tsx"));

interface Props {
  files: Draft["files"];
  /** The one that is shown. */
  file: string;
  fault: Fault | null;
  onFile: (path: string) => void;
  onChange: (source: string) => void;
}

/** A mod's files, one of them to be edited. */
export function SourceFiles({ files, file, fault, onFile, onChange }: Props) {
  const paths = Object.keys(files);
  const faults = useMemo(() => (fault?.file === file ? [fault] : []), [fault, file]);
  return (
    <div>
      {paths.length > 1 && (
        <div className="row" role="group" aria-label="Files">
          {paths.map((path) => (
            <button
              key={path}
              type="button"
              aria-pressed={path === file}
              onClick={() => onFile(path)}
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
          value={files[file] ?? ""}
          faults={faults}
          onChange={onChange}
        />
      </Suspense>
    </div>
  );
}
