/** What can go wrong between the page and the server, each with its own words. */

export type Kind =
  | "away" // no answer at all
  | "slow" // no answer in time
  | "locked" // 401, 403: a key is missing or is no longer good
  | "gone" // 404
  | "storage" // 503 of a trace's route: the database is away
  | "busy" // 429, or another 503: not now
  | "refused" // another 4xx: the request's own fault
  | "broken" // 5xx, or an answer that cannot be read
  | "cut"; // a stream that ended before its end

export class ApiError extends Error {
  constructor(
    readonly kind: Kind,
    message: string,
    readonly status = 0,
    readonly param: string | null = null,
    readonly file: string | null = null,
    readonly line: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** type: what the server calls the error. */
export function kindOf(status: number, type?: unknown): Kind {
  if (status === 401 || status === 403) return "locked";
  if (status === 404) return "gone";
  if (status === 503 && type === "trace_away") return "storage";
  if (status === 503 || status === 429) return "busy";
  return status < 500 ? "refused" : "broken";
}

/** The error that a reply other than 2xx tells, in OpenAI's shape or in any other.
 * retryAfter: that header, in seconds. */
export function errorOf(status: number, body: string, retryAfter?: string | null): ApiError {
  const told = read(body);
  const kind = kindOf(status, told.type);
  const message = typeof told.message === "string" ? told.message : body.slice(0, 300);
  const wait = kind === "busy" && /^\d+$/.test(retryAfter ?? "") ? ` (wait ${retryAfter} s)` : "";
  return new ApiError(
    kind,
    (message || `the server answered ${status}`) + wait,
    status,
    typeof told.param === "string" ? told.param : null,
    typeof told.file === "string" ? told.file : null,
    typeof told.line === "number" ? told.line : null,
  );
}

function read(body: string): Record<string, unknown> {
  try {
    const whole: unknown = JSON.parse(body);
    if (!isObject(whole)) return {};
    if (isObject(whole.error)) return whole.error;
    return { message: whole.detail ?? whole.reason ?? whole.message };
  } catch {
    return {};
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whatever was thrown, as one of ours. */
export function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  return new ApiError("broken", thrown instanceof Error ? thrown.message : String(thrown));
}
