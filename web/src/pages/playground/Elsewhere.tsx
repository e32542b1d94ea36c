import type { Message } from "../../api/chat.ts";
import { Copy } from "../../parts/Copy.tsx";
import { saidIn, usePlayground } from "./conversation.ts";
import { asCurl, asPython, bodyOf } from "./settings.ts";

/** The same request for a shell and for Python. */
export function Elsewhere() {
  const { settings, turns, question } = usePlayground();
  const asked = question.trim() || turns.at(-1)?.question || "Hi";
  const before = question.trim() ? turns : turns.slice(0, -1);
  const said: Message[] = [...saidIn(before), { role: "user", content: asked }];
  let body: Record<string, unknown> | null = null;
  try {
    body = bodyOf(settings, said, false);
  } catch {
    // A schema that is no JSON.
  }
  return (
    <>
      <Copy text={body && asCurl(body, location.origin)} words="Copy as curl" />
      <Copy text={body && asPython(body, location.origin)} words="Copy as Python" />
      {!body && (
        <span className="quiet">To copy the request, mend the schema first: it is no JSON.</span>
      )}
    </>
  );
}
