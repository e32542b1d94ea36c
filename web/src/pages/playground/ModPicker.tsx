import { useState } from "react";
import { listMods } from "../../api/mods.ts";
import { Link } from "../../app/Link.tsx";
import { useLoad } from "../../app/load.ts";

interface Props {
  mods: string[];
  onChange: (mods: string[]) => void;
}

/** The mods to use, in their order. */
export function ModPicker({ mods, onChange }: Props) {
  const loaded = useLoad("mods", listMods);
  const [chosen, setChosen] = useState("");
  const others = (loaded.value ?? []).filter((mod) => !mods.includes(mod.name));
  const move = (place: number, way: number) => {
    const changed = [...mods];
    const [mod] = changed.splice(place, 1);
    if (mod) changed.splice(place + way, 0, mod);
    onChange(changed);
  };
  return (
    <fieldset>
      <legend>Mods, in their order</legend>
      <ol className="chain">
        {mods.map((mod, place) => (
          <li key={mod}>
            <span className="chip mod">{mod}</span>
            <button
              type="button"
              className="plain"
              aria-label={`${mod} earlier`}
              disabled={place === 0}
              onClick={() => move(place, -1)}
            >
              ↑
            </button>
            <button
              type="button"
              className="plain"
              aria-label={`${mod} later`}
              disabled={place === mods.length - 1}
              onClick={() => move(place, 1)}
            >
              ↓
            </button>
            <button
              type="button"
              className="plain"
              aria-label={`Without ${mod}`}
              onClick={() => onChange(mods.filter((other) => other !== mod))}
            >
              ×
            </button>
          </li>
        ))}
      </ol>
      {loaded.error ? (
        <p className="warning">
          The mods cannot be listed: {loaded.error.message}.{" "}
          <button type="button" onClick={loaded.again}>
            Try again
          </button>
        </p>
      ) : (
        <select
          aria-label="Add a mod"
          value={chosen}
          onChange={(event) => {
            onChange([...mods, event.target.value]);
            setChosen("");
          }}
        >
          <option value="">{loaded.value ? "add a mod …" : "loading …"}</option>
          {others.map((mod) => (
            <option key={mod.name} value={mod.name} title={mod.description}>
              {mod.name}
            </option>
          ))}
        </select>
      )}{" "}
      <Link href="/mods/~new">write one</Link>
    </fieldset>
  );
}
