/** One request: the token strip in the middle, and around it what happened and why. */

import { useEffect, useMemo, useState } from "react";
import { openLog, type Trace } from "../../api/logs.ts";
import { type Pieces, textsOf } from "../../api/pieces.ts";
import { useLoad } from "../../app/load.ts";
import { OtherModel } from "../../parts/OtherModel.tsx";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { cellsOf, idsOf } from "../../trace/cells.ts";
import { tellingOf } from "../../trace/gathering.ts";
import { Charts } from "./Charts.tsx";
import { Facts } from "./Facts.tsx";
import { Head } from "./Head.tsx";
import { Notes } from "./Notes.tsx";
import { RawJson } from "./RawJson.tsx";
import { ReplayPanel } from "./ReplayPanel.tsx";
import { Timeline } from "./Timeline.tsx";
import { TokenView } from "./TokenView.tsx";

const HOME = { href: "/requests", words: "All requests" };

export default function RequestPage({ id }: { id: string }) {
  const loaded = useLoad(id, (signal) => openLog(id, signal));
  useEffect(() => {
    document.title = `${id} · Concordance`;
  }, [id]);
  if (loaded.value) {
    return <Opened key={id} trace={loaded.value} onChange={loaded.change} />;
  }
  if (loaded.error) return <Trouble error={loaded.error} onRetry={loaded.again} home={HOME} />;
  return <Waiting slow={loaded.slow} onRetry={loaded.again} />;
}

interface Props {
  trace: Trace;
  onChange: (change: (trace: Trace) => Trace) => void;
}

function Opened({ trace, onChange }: Props) {
  const id = trace.request.request_id;
  const { story, events, request } = trace;
  const model = request.model ?? "";
  const texts = useLoad(`texts of ${id}`, (signal) => textsOf(model, idsOf(trace), signal));
  const pieces = texts.value?.pieces ?? NONE;
  const telling = useMemo(() => tellingOf(story, events), [story, events]);
  const cells = useMemo(() => cellsOf(trace, telling, pieces), [trace, telling, pieces]);
  const last = telling.events.length - 1;
  const [event, setEvent] = useState(last);
  const [selected, setSelected] = useState(-1);

  /** Goes to an event, and to the newest token by then. */
  const show = (number: number) => {
    setEvent(number);
    const told = telling.events[number];
    const prompt = request.user_prompt_token_ids?.length ?? 0;
    if (told) setSelected(prompt + told.first + told.count - 1);
  };
  const step = event >= last ? (cells[selected]?.step ?? -1) : (telling.events[event]?.step ?? -1);

  return (
    <article className="opened">
      <Head trace={trace} onChange={onChange} />
      {texts.error && (
        <p className="warning">
          The texts of the tokens cannot be had ({texts.error.message}); their numbers are shown.{" "}
          <button type="button" onClick={texts.again}>
            Try again
          </button>
        </p>
      )}
      {texts.value?.foreign && <OtherModel model={model} />}
      <div className="centre">
        <TokenView
          trace={trace}
          telling={telling}
          cells={cells}
          pieces={pieces}
          event={event}
          onEvent={show}
          selected={selected}
          onSelect={setSelected}
        />
        <Timeline trace={trace} telling={telling} pieces={pieces} event={event} onShow={show} />
      </div>
      <div className="around">
        <ReplayPanel trace={trace} step={step < 0 ? null : step} />
        <Notes trace={trace} step={step < 0 ? null : step} onChange={onChange} />
        <Charts cells={cells} selected={selected} onSelect={setSelected} />
        <Facts trace={trace} />
        <RawJson id={id} />
      </div>
    </article>
  );
}

const NONE: Pieces = new Map();
