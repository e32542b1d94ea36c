import { useState } from "react";

interface Props {
  /** null where there is nothing to copy at the moment. */
  text: string | null;
  words?: string;
}

/** A button that copies a text. Where the browser does not let a page copy, as over plain HTTP from
 * another machine, it shows the text, selected. */
export function Copy({ text, words = "Copy" }: Props) {
  const [copied, setCopied] = useState(false);
  const [shown, setShown] = useState(false);
  const copy = async () => {
    if (shown || text === null) return setShown(false);
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2_500);
    } catch {
      setShown(true);
    }
  };
  return (
    <>
      <button type="button" disabled={text === null} onClick={() => void copy()}>
        {copied ? "Copied" : shown ? "Hide the text" : words}
      </button>
      {shown && text !== null && (
        <label className="by-hand">
          <span>The browser does not let this page copy. Press Ctrl+C (⌘C on a Mac).</span>
          <textarea className="code" readOnly rows={6} value={text} ref={select} />
        </label>
      )}
    </>
  );
}

function select(field: HTMLTextAreaElement | null): void {
  field?.focus();
  field?.select();
}
