import { servedModels } from "../../api/chat.ts";
import { useLoad } from "../../app/load.ts";
import { ConstraintEditor } from "./ConstraintEditor.tsx";
import { ModPicker } from "./ModPicker.tsx";
import type { Settings } from "./settings.ts";

interface Props {
  settings: Settings;
  /** Of one of them, whatever the others have become meanwhile: some answers come late. */
  onChange: (change: Partial<Settings>) => void;
}

export function SettingsPanel({ settings, onChange }: Props) {
  return (
    <aside className="settings" aria-label="Settings">
      <ModelChoice model={settings.model} onChange={(model) => onChange({ model })} />
      <ModPicker mods={settings.mods} onChange={(mods) => onChange({ mods })} />
      <fieldset>
        <legend>Sampling</legend>
        <div className="grid">
          <Figure
            label="Temperature"
            value={settings.temperature}
            step="0.1"
            min="0"
            onChange={(value) => onChange({ temperature: value })}
          />
          <Figure
            label="Top p"
            value={settings.topP}
            step="0.05"
            min="0"
            onChange={(value) => onChange({ topP: value })}
          />
          <Figure
            label="Tokens, at most"
            value={settings.maxTokens}
            step="1"
            min="1"
            onChange={(value) => onChange({ maxTokens: value })}
          />
          <Figure
            label="Seed"
            value={settings.seed}
            step="1"
            onChange={(value) => onChange({ seed: value })}
          />
        </div>
        <label>
          <input
            type="checkbox"
            checked={settings.full}
            onChange={(event) => onChange({ full: event.target.checked })}
          />{" "}
          keep each token's alternatives
        </label>
      </fieldset>
      <ConstraintEditor
        draft={settings.constraint}
        onChange={(constraint) => onChange({ constraint })}
      />
      <label>
        <span>System message</span>
        <textarea
          rows={2}
          value={settings.system}
          onChange={(event) => onChange({ system: event.target.value })}
        />
      </label>
    </aside>
  );
}

/** The first served model is chosen where none is. */
function ModelChoice({ model, onChange }: { model: string; onChange: (model: string) => void }) {
  const loaded = useLoad("models", async (signal) => {
    const names = await servedModels(signal);
    if (names[0] && !names.includes(model)) onChange(names[0]);
    return names;
  });
  if (loaded.error) {
    return (
      <p className="warning">
        The models cannot be listed: {loaded.error.message}.{" "}
        <button type="button" onClick={loaded.again}>
          Try again
        </button>
      </p>
    );
  }
  return (
    <label>
      <span>Model</span>
      <select value={model} onChange={(event) => onChange(event.target.value)}>
        {(loaded.value ?? []).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

interface FigureProps {
  label: string;
  value: string;
  step: string;
  min?: string;
  onChange: (value: string) => void;
}

function Figure({ label, value, step, min, onChange }: FigureProps) {
  return (
    <label>
      <span>{label}</span>
      <input
        type="number"
        step={step}
        min={min}
        value={value}
        placeholder="the server's"
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}
