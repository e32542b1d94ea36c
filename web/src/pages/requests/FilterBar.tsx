import { type FormEvent, useEffect, useState } from "react";
import { ACTIONS, type Filter, type Filters, SORTS, SPANS } from "./filters.ts";

interface Props {
  filters: Filters;
  last: string;
  onChange: (filters: Filters, last: string) => void;
}

/** Words are looked for when they are entered; everything else takes effect at once. */
export function FilterBar({ filters, last, onChange }: Props) {
  const [text, setText] = useState(filters.text ?? "");
  useEffect(() => setText(filters.text ?? ""), [filters.text]);
  // A list begins at a moment or so many hours ago: the one that is chosen replaces the other.
  const set = (name: Filter, value: string) =>
    onChange({ ...filters, [name]: value }, name === "since" ? "" : last);
  const search = (event: FormEvent) => {
    event.preventDefault();
    set("text", text.trim());
  };
  const narrowed = Object.keys(filters).length > 0 || last !== "";
  return (
    <form className="filters" onSubmit={search} aria-label="Filters">
      <input
        type="search"
        className="words"
        placeholder="Search prompts and answers: words, “a phrase”, -not"
        aria-label="Search prompts and answers"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit">Search</button>
      <Choice
        label="Status"
        value={filters.status}
        options={["done", "failed", "aborted"]}
        onChange={(value) => set("status", value)}
      />
      <Choice
        label="Action"
        value={filters.action}
        options={ACTIONS}
        onChange={(value) => set("action", value)}
      />
      <Choice
        label="When"
        value={last}
        options={Object.keys(SPANS)}
        shown={(span) => `last ${span}`}
        onChange={(value) => onChange({ ...filters, since: "" }, value)}
      />
      <Choice
        label="Order"
        none="newest"
        value={filters.sort}
        options={SORTS.slice(1)}
        onChange={(value) => set("sort", value)}
      />
      <button
        type="button"
        aria-pressed={filters.favourite === "true"}
        onClick={() => set("favourite", filters.favourite === "true" ? "" : "true")}
      >
        ★ only
      </button>
      <details className="more">
        <summary>More</summary>
        <div className="grid">
          <Word label="Mod" name="mod" filters={filters} set={set} />
          <Word label="Model" name="model" filters={filters} set={set} />
          <Word label="Tag" name="tag" filters={filters} set={set} />
          <Word label="Replays of" name="parent_id" filters={filters} set={set} />
          <Word label="Seconds, at least" name="min_latency" filters={filters} set={set} />
          <Word label="Seconds, at most" name="max_latency" filters={filters} set={set} />
          <Word label="Tokens, at least" name="min_tokens" filters={filters} set={set} />
          <Word label="Tokens, at most" name="max_tokens" filters={filters} set={set} />
          <Word label="Since" name="since" type="datetime-local" filters={filters} set={set} />
          <Word label="Until" name="until" type="datetime-local" filters={filters} set={set} />
        </div>
      </details>
      {narrowed && (
        <button type="button" className="plain" onClick={() => onChange({}, "")}>
          Clear all
        </button>
      )}
    </form>
  );
}

interface ChoiceProps {
  label: string;
  value: string | undefined;
  options: string[];
  none?: string;
  shown?: (option: string) => string;
  onChange: (value: string) => void;
}

function Choice({ label, value, options, none = "any", shown, onChange }: ChoiceProps) {
  return (
    <label>
      <span>{label}</span>
      <select value={value ?? ""} onChange={(event) => onChange(event.target.value)}>
        <option value="">{none}</option>
        {options.map((option) => (
          <option key={option} value={option}>
            {shown ? shown(option) : option}
          </option>
        ))}
      </select>
    </label>
  );
}

interface WordProps {
  label: string;
  name: Filter;
  type?: string;
  filters: Filters;
  set: (name: Filter, value: string) => void;
}

/** Takes effect when it is left, or with Enter. */
function Word({ label, name, type = "text", filters, set }: WordProps) {
  const [value, setValue] = useState(filters[name] ?? "");
  useEffect(() => setValue(filters[name] ?? ""), [filters, name]);
  const done = () => value !== (filters[name] ?? "") && set(name, value.trim());
  return (
    <label>
      <span>{label}</span>
      <input
        type={type}
        value={value}
        onChange={(event) => setValue(event.target.value)}
        onBlur={done}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          done();
        }}
      />
    </label>
  );
}
