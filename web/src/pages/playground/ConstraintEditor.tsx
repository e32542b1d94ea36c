import { lazy, Suspense, useEffect, useState } from "react";
import {
  KINDS,
  type Kind,
  specOf,
  type Typed,
  type Validation,
  validate,
} from "../../api/constraints.ts";
import { asApiError } from "../../api/errors.ts";
import { bytes } from "../../app/form.ts";
import type { Draft } from "./settings.ts";

const CodeEditor = lazy(() => import("../../parts/CodeEditor.tsx"));
const QUIET_MS = 400;
const WORDS: Record<Kind, string> = {
  none: "no constraint",
  json: "JSON schema",
  regex: "regular expression",
  grammar: "grammar (EBNF or Lark)",
  choice: "one of these lines",
};

interface Props {
  draft: Draft;
  onChange: (draft: Draft) => void;
}

/** A constraint, tried out by the server as it is typed. */
export function ConstraintEditor({ draft, onChange }: Props) {
  const { kind: chosen, texts } = draft;
  const text = texts[chosen];
  const verdict = useVerdict({ kind: chosen, text });
  return (
    <fieldset>
      <legend>Constraint</legend>
      <select
        aria-label="Kind of constraint"
        value={chosen}
        onChange={(event) => onChange({ ...draft, kind: event.target.value as Kind })}
      >
        {KINDS.map((kind) => (
          <option key={kind} value={kind}>
            {WORDS[kind]}
          </option>
        ))}
      </select>
      {chosen !== "none" && (
        <>
          <Suspense fallback={<p className="quiet">Loading the editor …</p>}>
            <CodeEditor
              key={chosen}
              label={WORDS[chosen]}
              language={chosen === "json" ? "json" : "text"}
              value={text}
              onChange={(text) => onChange({ ...draft, texts: { ...texts, [chosen]: text } })}
            />
          </Suspense>
          <p className={verdict.bad ? "warning" : "quiet"} role="status">
            {verdict.words}
          </p>
        </>
      )}
    </fieldset>
  );
}

interface Verdict {
  words: string;
  bad: boolean;
}

function useVerdict(typed: Typed): Verdict {
  const [verdict, setVerdict] = useState<Verdict>({ words: "", bad: false });
  const { kind, text } = typed;
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      judge({ kind, text }, stop.signal)
        .then(setVerdict)
        .catch((thrown: unknown) => {
          if (stop.signal.aborted) return;
          setVerdict({
            words: `It could not be checked: ${asApiError(thrown).message}`,
            bad: true,
          });
        });
    }, QUIET_MS);
    setVerdict({ words: "checking …", bad: false });
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [kind, text]);
  return verdict;
}

export async function judge(typed: Typed, signal?: AbortSignal): Promise<Verdict> {
  let spec: Record<string, unknown> | null;
  try {
    spec = specOf(typed);
  } catch (error) {
    return { words: `This is no JSON: ${(error as Error).message}`, bad: true };
  }
  if (spec === null) return { words: "Nothing is constrained yet.", bad: false };
  return verdictOf(await validate(spec, signal));
}

function verdictOf(validation: Validation): Verdict {
  if (!validation.valid) {
    const { message, part, position } = validation.error ?? { message: "it cannot be used" };
    const where = [part, position].filter(Boolean).join(", ");
    return { words: where ? `${where}: ${message}` : message, bad: true };
  }
  const cost = [
    validation.compile_time_ms === null
      ? ""
      : `compiled in ${validation.compile_time_ms.toFixed(1)} ms`,
    validation.mask_time_ms === null ? "" : `${validation.mask_time_ms.toFixed(3)} ms a token`,
    validation.size_bytes === null ? "" : bytes(validation.size_bytes),
  ].filter(Boolean);
  const words = ["It can be used", ...cost].join(" · ");
  return { words: [words, ...validation.warnings].join(" — "), bad: false };
}
