/** The API key that the person gave, kept for this tab and, if asked, for this browser. */

const NAME = "concordance-key";
const listeners = new Set<() => void>();

/** Whether a header can carry it: printable ASCII. `fetch` throws at much of the rest. */
export const isKey = (text: string) => /^[ -~]*$/.test(text);

export function key(): string {
  const kept = read(() => sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME)) ?? "";
  return isKey(kept) ? kept : "";
}

export function setKey(value: string, remember: boolean): void {
  read(() => {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
    if (value) (remember ? localStorage : sessionStorage).setItem(NAME, value);
    return null;
  });
  for (const listener of listeners) listener();
}

/** Called whenever the key changes. Returns what ends it. */
export function onKey(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Storage throws where a browser forbids it. */
function read(from: () => string | null): string | null {
  try {
    return from();
  } catch {
    return null;
  }
}
