/** Talk to the model, with mods and constraints, and see what they do to the answer. */

import { type FormEvent, useEffect, useRef, useState } from "react";
import type { Message } from "../../api/chat.ts";
import { key } from "../../api/key.ts";
import { useLocation } from "../../app/location.ts";
import { Copy } from "../../parts/Copy.tsx";
import { namesOf } from "../request/ReplayPanel.tsx";
import { ReplyView } from "./ReplyView.tsx";
import { BEGUN, type Reply, receive, textOf } from "./reply.ts";
import { SettingsPanel } from "./SettingsPanel.tsx";
import { asCurl, asPython, bodyOf, DEFAULTS, type Settings } from "./settings.ts";
import "../../style/playground.css";

interface Turn {
  question: string;
  mods: string[];
  reply: Reply;
  /** The same without mods, where that was asked for. */
  bare: Reply | null;
}

export default function PlaygroundPage() {
  const { query } = useLocation();
  const [settings, setSettings] = useState<Settings>(() => ({
    ...DEFAULTS,
    mods: namesOf(query.get("mods") ?? ""),
  }));
  const [turns, setTurns] = useState<Turn[]>([]);
  const [question, setQuestion] = useState("");
  const [beside, setBeside] = useState(false);
  const [complaint, setComplaint] = useState("");
  const running = useRef<AbortController | null>(null);
  const busy = turns.some(
    ({ reply, bare }) => reply.state === "running" || bare?.state === "running",
  );
  useEffect(() => {
    document.title = "Playground · Concordance";
    return () => running.current?.abort();
  }, []);

  const ask = async (asked: string, before: Turn[]) => {
    const said: Message[] = [...before.flatMap(saidIn), { role: "user", content: asked }];
    let bodies: object[];
    try {
      bodies = [bodyOf(settings, said, true)];
      if (beside && settings.mods.length)
        bodies.push(bodyOf({ ...settings, mods: [] }, said, true));
    } catch (error) {
      setComplaint(`The constraint is no JSON: ${(error as Error).message}`);
      return;
    }
    setComplaint("");
    setQuestion("");
    const stop = new AbortController();
    running.current = stop;
    const bare = bodies.length > 1 ? BEGUN : null;
    setTurns([...before, { question: asked, mods: settings.mods, reply: BEGUN, bare }]);
    const change = (part: "reply" | "bare") => (reply: Reply) =>
      setTurns((turns) =>
        turns.map((turn, place) => (place === before.length ? { ...turn, [part]: reply } : turn)),
      );
    await Promise.all(
      bodies.map((body, place) => receive(body, stop.signal, change(place ? "bare" : "reply"))),
    );
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (question.trim() && !busy) void ask(question, turns);
  };

  return (
    <section>
      <h1>Playground</h1>
      <div className="playground">
        <SettingsPanel
          settings={settings}
          onChange={(change) => setSettings((settings) => ({ ...settings, ...change }))}
        />
        <div className="talk">
          {turns.map((turn, place) => (
            <div className="turn" key={place}>
              <p className="question">{turn.question}</p>
              <div className={turn.bare ? "sides" : undefined}>
                <ReplyView
                  reply={turn.reply}
                  label={turn.mods.length ? `with ${turn.mods.join(" + ")}` : "the model"}
                  onRetry={() => void ask(turn.question, turns.slice(0, place))}
                />
                {turn.bare && <ReplyView reply={turn.bare} label="without mods" />}
              </div>
            </div>
          ))}
          <form onSubmit={submit}>
            <textarea
              rows={3}
              aria-label="Your message"
              placeholder="Ask something. Ctrl+Enter sends it."
              value={question}
              onChange={(event) => setQuestion(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
              }}
            />
            <div className="row">
              <button
                type="submit"
                className="first"
                disabled={busy || !question.trim() || !settings.model}
              >
                Send
              </button>
              {busy && (
                <button type="button" onClick={() => running.current?.abort()}>
                  Stop
                </button>
              )}
              {turns.length > 0 && !busy && (
                <button type="button" onClick={() => setTurns([])}>
                  Begin anew
                </button>
              )}
              {settings.mods.length > 0 && (
                <label>
                  <input
                    type="checkbox"
                    checked={beside}
                    onChange={(event) => setBeside(event.target.checked)}
                  />{" "}
                  beside it, without mods
                </label>
              )}
              <Elsewhere settings={settings} turns={turns} question={question} />
            </div>
            {complaint && (
              <p className="warning" role="alert">
                {complaint}
              </p>
            )}
          </form>
        </div>
      </div>
    </section>
  );
}

/** The same request for a shell and for Python. */
function Elsewhere({
  settings,
  turns,
  question,
}: {
  settings: Settings;
  turns: Turn[];
  question: string;
}) {
  const asked = question.trim() || turns.at(-1)?.question || "Hi";
  const before = question.trim() ? turns : turns.slice(0, -1);
  const said: Message[] = [...before.flatMap(saidIn), { role: "user", content: asked }];
  let body: Record<string, unknown>;
  try {
    body = bodyOf(settings, said, false);
  } catch {
    return null;
  }
  return (
    <>
      <Copy text={asCurl(body, location.origin, key() !== "")} words="Copy as curl" />
      <Copy text={asPython(body, location.origin, key() !== "")} words="Copy as Python" />
    </>
  );
}

/** What a turn adds to the conversation; one without an answer adds nothing. */
function saidIn(turn: Turn): Message[] {
  const answer = textOf(turn.reply);
  if (!answer) return [];
  return [
    { role: "user", content: turn.question },
    { role: "assistant", content: answer },
  ];
}
