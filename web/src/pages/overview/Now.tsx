import type { Health } from "../../api/health.ts";
import { bytes, count, percent } from "../../app/form.ts";
import type { Loaded } from "../../app/load.ts";
import { type Dated, timeOf } from "./renewed.tsx";

interface NowProps {
  state: Health;
  numbers: Loaded<Dated<ReadonlyMap<string, number>>>;
}

/** How the engine and the writer of traces are at the moment. */
export function Now({ state, numbers }: NowProps) {
  const metric = (name: string) => numbers.value?.told.get(name);
  const whole = (name: string) => {
    const value = metric(name);
    return value === undefined ? "–" : count(value);
  };
  const { traces } = state;
  const dropped = Object.values(traces?.spool?.dropped ?? {}).reduce((a, b) => a + b, 0);
  const figures: [string, string][] = [
    ["engine", `${state.status}, ${state.backend}`],
    ["model", state.models.join(", ")],
    ["running", whole("vllm:num_requests_running")],
    ["waiting", whole("vllm:num_requests_waiting")],
    ["cache in use", percent(metric("vllm:kv_cache_usage_perc"))],
    ["sessions with mods", whole("concordance_sessions_running")],
    ["Postgres", traces?.postgres ?? "none"],
    ["writer", traces?.writer?.state ?? "none"],
    ["writer's lag", traces?.spool ? bytes(traces.spool.lag_bytes) : "–"],
    ["traces lost", count(dropped)],
  ];
  return (
    <>
      <dl className="figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {numbers.error && (
        <p className="warning">
          {numbers.value
            ? `The engine's numbers are those of ${timeOf(numbers.value)}: `
            : "Without the engine's numbers: "}
          {numbers.error.message}
        </p>
      )}
      {traces?.missing?.map((what) => (
        <p className="warning" key={what}>
          {what}
        </p>
      ))}
    </>
  );
}
