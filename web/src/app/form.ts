/** Numbers and times as people read them. */

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 100 ? `${value.toFixed(value < 10 ? 2 : 1)} s` : `${Math.round(value)} s`;
}

export const millis = (value: number | null | undefined) =>
  seconds(value === null || value === undefined ? null : value / 1000);

export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const hundred = value * 100;
  if (hundred > 0 && hundred < 0.1) return "< 0.1 %";
  return `${hundred.toFixed(hundred < 10 ? 1 : 0)} %`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit && value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** How long ago, from `now` on. */
export function ago(time: string, now = Date.now()): string {
  const passed = Math.max(0, (now - Date.parse(time)) / 1000);
  if (passed < 5) return "now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86_400)} d ago`;
}

export const moment = (time: string) => new Date(time).toLocaleString();

export const classes = (...names: (string | false | null | undefined)[]) =>
  names.filter(Boolean).join(" ");
