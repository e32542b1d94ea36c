import { useState } from "react";

/** A button that copies a text, and says whether that worked. */
export function Copy({ text, words = "Copy" }: { text: string; words?: string }) {
  const [state, setState] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("Copied");
    } catch {
      setState("The browser does not let this page copy: select the text instead");
    }
    setTimeout(() => setState(""), 2_500);
  };
  return (
    <button type="button" onClick={() => void copy()}>
      {state || words}
    </button>
  );
}
