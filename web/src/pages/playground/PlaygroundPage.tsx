/** Talk to the model, with mods and constraints, and see what they do to the answer. */

import { useEffect } from "react";
import { go, useLocation } from "../../app/location.ts";
import { namesOf } from "../request/ReplayPanel.tsx";
import { changeSettings, isBusy, retry, type Turn, usePlayground } from "./conversation.ts";
import { MessageForm } from "./MessageForm.tsx";
import { ReplyView } from "./ReplyView.tsx";
import { SettingsPanel } from "./SettingsPanel.tsx";
import type { Settings } from "./settings.ts";
import "../../style/playground.css";

export default function PlaygroundPage() {
  const { settings, turns } = usePlayground();
  const named = useLocation().query.get("mods");
  useEffect(() => {
    document.title = "Playground · Concordance";
  }, []);
  useEffect(() => {
    if (named !== null) changeSettings({ mods: namesOf(named) });
  }, [named]);
  const last = turns.at(-1);
  const busy = isBusy(turns);
  return (
    <section>
      <h1>Playground</h1>
      <div className="playground">
        <SettingsPanel settings={settings} onChange={choose} />
        <div className="talk">
          {turns.map((turn) => (
            <TurnView
              key={turn.id}
              turn={turn}
              onRetry={turn === last && !busy ? retry : undefined}
            />
          ))}
          <MessageForm />
        </div>
      </div>
    </section>
  );
}

/** The address names the mods: with Back, those come that were chosen last. */
function choose(changed: Partial<Settings>): void {
  changeSettings(changed);
  const { mods } = changed;
  if (mods) go(`/playground${mods.length ? `?mods=${mods.map(encodeURIComponent)}` : ""}`, true);
}

function TurnView({ turn, onRetry }: { turn: Turn; onRetry: (() => void) | undefined }) {
  return (
    <div className="turn">
      <p className="question">{turn.question}</p>
      <div className={turn.bare ? "sides" : undefined}>
        <ReplyView
          reply={turn.reply}
          label={turn.mods.length ? `with ${turn.mods.join(" + ")}` : "the model"}
          onRetry={onRetry}
        />
        {turn.bare && <ReplyView reply={turn.bare} label="without mods" onRetry={onRetry} />}
      </div>
    </div>
  );
}
