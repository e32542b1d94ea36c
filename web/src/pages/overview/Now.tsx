import type { Health } from "../../api/health.ts";
import { bytes, count, percent } from "../../app/form.ts";
import type { Loaded } from "../../app/load.ts";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";

interface NowProps {
  state: Loaded<Health>;
  numbers: Loaded<ReadonlyMap<string, number>>;
}

/** How the engine and the writer of traces are at the moment. */
export function Now({ state, numbers }: NowProps) {
  if (state.error) return <Trouble error={state.error} onRetry={state.again} />;
  const told = state.value;
  if (!told) return <Waiting slow={state.slow} onRetry={state.again} />;
  const metric = (name: string) => numbers.value?.get(name);
  const whole = (name: string) => {
    const value = metric(name);
    return value === undefined ? "–" : count(value);
  };
  const { traces } = told;
  const dropped = Object.values(traces?.spool?.dropped ?? {}).reduce((a, b) => a + b, 0);
  const figures: [string, string][] = [
    ["engine", `${told.status}, ${told.backend}`],
    ["model", told.models.join(", ")],
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
        <p className="quiet">Without the engine's numbers: {numbers.error.message}</p>
      )}
      {traces?.missing?.map((what) => (
        <p className="warning" key={what}>
          {what}
        </p>
      ))}
    </>
  );
}
