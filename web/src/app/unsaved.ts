import { useEffect } from "react";
import { guard } from "./location.ts";

/** Asks whether something may be lost that was written and is not saved. */
export const mayLose = () => confirm("What you wrote is not saved. Go on and lose it?");

/** Asks before it is lost with the page: by a link, a step back, or closing the tab. */
export function useUnsaved(unsaved: boolean): void {
  useEffect(() => {
    if (!unsaved) return;
    const close = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", close);
    const free = guard(mayLose);
    return () => {
      removeEventListener("beforeunload", close);
      free();
    };
  }, [unsaved]);
}
