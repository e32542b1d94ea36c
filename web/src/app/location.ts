/** Where the person is: the path and the query of the address. The page's whole router. */

import { useSyncExternalStore } from "react";

const changed = "concordance-moved";

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(changed, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(changed, listener);
  };
}

const here = () => location.pathname + location.search;

export function useLocation(): { path: string; query: URLSearchParams } {
  const whole = useSyncExternalStore(subscribe, here);
  const [path = "/", search = ""] = whole.split("?", 2);
  return { path, query: new URLSearchParams(search) };
}

let mayLeave = () => true;

/** Asks `ask` before this address is left for another of the page's. Returns what ends that. */
export function guard(ask: () => boolean): () => void {
  const at = here();
  const stay = (event: PopStateEvent) => {
    if (here() === at || ask()) return;
    event.stopImmediatePropagation();
    history.pushState(null, "", at);
  };
  mayLeave = ask;
  addEventListener("popstate", stay, { capture: true });
  return () => {
    mayLeave = () => true;
    removeEventListener("popstate", stay, { capture: true });
  };
}

/** replace: without a step back to where the person was; then a guard is not asked. */
export function go(to: string, replace = false): void {
  if (!replace && !mayLeave()) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  dispatchEvent(new Event(changed));
  if (!replace) scrollTo(0, 0);
}

/** The parts of a path that fit a pattern such as `/requests/:id`; null where it does not fit. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.replace(/(?!^)\/$/, "").split("/");
  if (wanted.length !== given.length) return null;
  const found: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (part.startsWith(":")) {
      if (!value) return null;
      found[part.slice(1)] = decoded(value);
    } else if (part !== value) return null;
  }
  return found;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
