/** Writing a mod: its source, a dry run on either model, save. */

import { useEffect } from "react";
import { listMods, showMod } from "../../api/mods.ts";
import { useLoad } from "../../app/load.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { draftOf, FIRST } from "./draft.ts";
import { Editor } from "./Editor.tsx";
import "../../style/mods.css";

const HOME = { href: "/mods", words: "All mods" };

/** `~new` is no name that a mod can have. */
export default function ModPage({ name }: { name: string }) {
  const fresh = name === "~new";
  const loaded = useLoad(name, (signal) => (fresh ? Promise.resolve(null) : showMod(name, signal)));
  const stock = useLoad("stock mods", async (signal) =>
    (await listMods(signal)).filter((mod) => mod.built_in).map((mod) => mod.name),
  );
  useEffect(() => {
    document.title = `${fresh ? "A new mod" : name} · Concordance`;
  }, [fresh, name]);
  const there = fresh || loaded.value;
  if (loaded.error && !there)
    return <Trouble error={loaded.error} onRetry={loaded.again} home={HOME} />;
  if (!there) return <Waiting slow={loaded.slow} onRetry={loaded.again} />;
  return (
    <Editor
      mod={loaded.value}
      begin={loaded.value ? draftOf(loaded.value, loaded.value.built_in) : FIRST}
      templates={stock.value ?? []}
    />
  );
}
