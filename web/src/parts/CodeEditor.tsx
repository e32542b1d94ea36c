/** CodeMirror, in a shadow root: there its styles are style sheets made by script, which the page's
 * strict policy allows, where style elements would be refused. */

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { python } from "@codemirror/lang-python";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { Annotation, EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useLayoutEffect, useRef } from "react";
import { flushSync } from "react-dom";

export interface Fault {
  /** From 1. */
  line: number;
  message: string;
}

interface Props {
  value: string;
  onChange: (value: string) => void;
  language: "python" | "json" | "text";
  label: string;
  faults?: readonly Fault[];
}

const NO_FAULTS: readonly Fault[] = [];

/** Marks what comes from outside, which is not told outside again. */
const given = Annotation.define<true>();

export default function CodeEditor({
  value,
  onChange,
  language,
  label,
  faults = NO_FAULTS,
}: Props) {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView | null>(null);
  const latest = useRef(onChange);
  latest.current = onChange;
  const first = useRef(value);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const place = document.createElement("div");
    root.replaceChildren(place);
    const view = new EditorView({
      root,
      parent: place,
      state: EditorState.create({
        doc: first.current,
        extensions: [
          lineNumbers(),
          highlightActiveLine(),
          history(),
          bracketMatching(),
          indentOnInput(),
          indentUnit.of("    "),
          lintGutter(),
          // Escape, then Tab, leaves the editor, as CodeMirror's own documents say.
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          language === "python" ? python() : language === "json" ? json() : [],
          syntaxHighlighting(COLOURS),
          LOOKS,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": label }),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged || update.transactions.some((part) => part.annotation(given)))
              return;
            // At once: a text that comes back later than the next key would undo it.
            flushSync(() => latest.current(update.state.doc.toString()));
          }),
        ],
      }),
    });
    editor.current = view;
    return () => {
      first.current = view.state.doc.toString();
      view.destroy();
      editor.current = null;
    };
  }, [language, label]);

  useLayoutEffect(() => {
    const view = editor.current;
    if (!view || view.state.doc.toString() === value) return;
    const changes = { from: 0, to: view.state.doc.length, insert: value };
    view.dispatch({ changes, annotations: given.of(true) });
  }, [value]);

  useEffect(() => {
    const view = editor.current;
    if (!view) return;
    const { doc } = view.state;
    const found = faults.map(({ line, message }) => {
      const { from, to } = doc.line(Math.max(1, Math.min(doc.lines, line)));
      return { from, to, severity: "error" as const, message };
    });
    view.dispatch(setDiagnostics(view.state, found));
    if (found[0]) view.dispatch({ effects: EditorView.scrollIntoView(found[0].from) });
  }, [faults]);

  return <div ref={host} className="editor" />;
}

/** Custom properties reach into the shadow root, so themes work here, too. */
const LOOKS = EditorView.theme({
  "&": { fontSize: "14px", color: "var(--ink)", backgroundColor: "var(--raised)" },
  "&.cm-focused": { outline: "2px solid var(--focus)" },
  ".cm-content": {
    fontFamily: "ui-monospace, Menlo, Consolas, monospace",
    caretColor: "var(--ink)",
    minHeight: "var(--least, 6rem)",
  },
  ".cm-scroller": { maxHeight: "32rem", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--quiet)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--sunken)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)" },
});

const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--link)", fontWeight: "600" },
  { tag: [tags.string, tags.regexp], color: "var(--good)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
  { tag: tags.propertyName, color: "var(--link)" },
]);
