/** Plays the request back, event by event. */

import { useEffect, useRef, useState } from "react";
import type { Telling } from "../../trace/telling.ts";

const TICK_MS = 120;

interface Props {
  telling: Telling;
  event: number;
  onEvent: (event: number) => void;
}

export function Scrubber({ telling, event, onEvent }: Props) {
  const last = telling.events.length - 1;
  const [playing, setPlaying] = useState(false);
  const place = useRef(event);
  place.current = event;
  const latest = useRef(onEvent);
  latest.current = onEvent;

  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => {
      const next = following(telling, place.current, 1);
      latest.current(next);
      if (next >= last) setPlaying(false);
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [playing, telling, last]);

  const play = () => {
    if (!playing && event >= last) onEvent(0);
    setPlaying(!playing);
  };
  const told = telling.events[event];
  const words = told ? `${told.type}, round ${told.step}, ${told.position} tokens out` : "";
  return (
    <div className="row scrubber">
      <button type="button" onClick={play} aria-label={playing ? "Pause" : "Play it back"}>
        {playing ? "❚❚" : "▶"}
      </button>
      <button
        type="button"
        aria-label="One step back"
        onClick={() => onEvent(following(telling, event, -1))}
      >
        ‹
      </button>
      <input
        type="range"
        min={0}
        max={Math.max(0, last)}
        value={Math.min(event, last)}
        aria-label="Event"
        aria-valuetext={words}
        onChange={(change) => onEvent(Number(change.target.value))}
      />
      <button
        type="button"
        aria-label="One step on"
        onClick={() => onEvent(following(telling, event, 1))}
      >
        ›
      </button>
      <span className="quiet words">{event >= last ? "the end" : words}</span>
      {event < last && (
        <button type="button" className="plain" onClick={() => onEvent(last)}>
          to the end
        </button>
      )}
    </div>
  );
}

/** The next event, this way, at which the output may look different. */
export function following(telling: Telling, event: number, way: 1 | -1): number {
  const last = telling.events.length - 1;
  let next = event + way;
  while (next > 0 && next < last && telling.events[next]?.type === "ForwardPass") next += way;
  return Math.max(0, Math.min(last, next));
}
