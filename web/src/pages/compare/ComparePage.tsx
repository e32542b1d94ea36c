/** Two requests side by side: where their outputs agree, and where they part. */

import { useEffect, useMemo, useState } from "react";
import { type Diff, diffOf, openLog, type Piece, type Request } from "../../api/logs.ts";
import { type Pieces, pieceOf, type Texts, textsOf } from "../../api/pieces.ts";
import { percent } from "../../app/form.ts";
import { Link } from "../../app/Link.tsx";
import { useLoad } from "../../app/load.ts";
import { OtherModel } from "../../parts/OtherModel.tsx";
import { TokenStrip } from "../../parts/TokenStrip.tsx";
import { Trouble } from "../../parts/Trouble.tsx";
import { Waiting } from "../../parts/Waiting.tsx";
import { columnsOf, display, type Item } from "../../trace/layout.ts";

interface Compared {
  request: Request;
  pieces: Piece[];
  texts: Texts;
}

interface Aligned {
  diff: Diff;
  a: Compared;
  b: Compared;
}

async function align(a: string, b: string, signal: AbortSignal): Promise<Aligned> {
  const diff = await diffOf(a, b, signal);
  const compared = async (id: string, pieces: Piece[]): Promise<Compared> => {
    const { request } = await openLog(id, signal);
    const ids = pieces.map((piece) => piece.token);
    return { request, pieces, texts: await textsOf(request.model ?? "", ids, signal) };
  };
  const sides = [compared(a, diff.tokens_a), compared(b, diff.tokens_b)] as const;
  const [one, other] = await Promise.all(sides);
  return { diff, a: one, b: other };
}

export default function ComparePage({ a, b }: { a: string; b: string }) {
  const loaded = useLoad(`${a} ${b}`, (signal) => align(a, b, signal));
  useEffect(() => {
    document.title = "Two requests · Concordance";
  }, []);
  return (
    <section>
      <h1>Two requests</h1>
      {loaded.value ? (
        <Sides aligned={loaded.value} />
      ) : loaded.error ? (
        <Trouble
          error={loaded.error}
          onRetry={loaded.again}
          home={{ href: "/requests", words: "All requests" }}
        />
      ) : (
        <Waiting slow={loaded.slow} onRetry={loaded.again} />
      )}
    </section>
  );
}

function Sides({ aligned }: { aligned: Aligned }) {
  const { diff } = aligned;
  const differing = diff.blocks.filter((block) => block.kind !== "equal");
  const [at, setAt] = useState(-1);
  const block = differing[at];
  const go = (way: number) =>
    setAt(Math.max(0, Math.min(differing.length - 1, at < 0 && way < 0 ? 0 : at + way)));
  return (
    <>
      <p className="happened">
        {differing.length === 0
          ? `Both have the same ${diff.tokens_a.length} tokens.`
          : begun(diff.same, differing.length)}
      </p>
      {differing.length > 0 && (
        <div className="row tools">
          <button type="button" onClick={() => go(-1)}>
            Previous difference
          </button>
          <button type="button" onClick={() => go(1)}>
            Next difference
          </button>
          {block && <span className="quiet">{`${at + 1} of ${differing.length}`}</span>}
        </div>
      )}
      <div className="sides">
        <Side aligned={aligned} side="a" at={block?.a[0] ?? -1} />
        <Side aligned={aligned} side="b" at={block?.b[0] ?? -1} />
      </div>
    </>
  );
}

function begun(same: number, places: number): string {
  const where = `in ${places} ${places === 1 ? "place" : "places"}`;
  if (same === 0) return `They differ from the first token on, ${where}.`;
  return `They begin with the same ${same === 1 ? "token" : `${same} tokens`}, and differ ${where}.`;
}

/** What a side ran with, and what it answered. */
function With({ request }: { request: Request }) {
  const { mods = [], final_text = "" } = request;
  const names = mods.map((mod) => mod.name).join(" + ");
  return (
    <>
      <p>{names ? `with ${names}` : "without mods"}</p>
      <p className="answer">{final_text || "(nothing)"}</p>
    </>
  );
}

interface SideProps {
  aligned: Aligned;
  side: "a" | "b";
  /** The token that is brought into sight. */
  at: number;
}

function Side({ aligned, side, at }: SideProps) {
  const { diff } = aligned;
  const { request, pieces, texts } = aligned[side];
  const id = diff[side];
  const [picked, setPicked] = useState(-1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another difference, another token
  useEffect(() => setPicked(-1), [at]);
  const items = useMemo(
    () => pieces.map((piece, cell) => itemOf(piece, cell, texts.pieces)),
    [pieces, texts],
  );
  const differs = useMemo(() => differing(diff, side), [diff, side]);
  const selected = picked >= 0 ? picked : Math.min(at, pieces.length - 1);
  const piece = pieces[selected];
  return (
    <section aria-label={side === "a" ? "The one" : "The other"}>
      <h2>
        <Link href={`/requests/${encodeURIComponent(id)}`}>{id}</Link>
      </h2>
      <With request={request} />
      {texts.foreign && <OtherModel model={request.model ?? ""} />}
      <TokenStrip
        items={items}
        classOf={(item) => (differs.has(item.cell) ? "differs" : "sampled")}
        selected={selected}
        onSelect={setPicked}
        label={`Tokens of ${id}`}
      />
      <p className="quiet">{piece ? told(piece) : `${pieces.length} tokens`}</p>
    </section>
  );
}

function itemOf(piece: Piece, cell: number, texts: Pieces): Item {
  const { shown, ends } = display(pieceOf(texts, piece.token));
  return { cell, count: 1, kind: "token", shown, width: columnsOf(shown) + 1, ends };
}

function differing(diff: Diff, side: "a" | "b"): Set<number> {
  const found = new Set<number>();
  for (const block of diff.blocks) {
    if (block.kind === "equal") continue;
    for (let place = block[side][0]; place < block[side][1]; place += 1) found.add(place);
  }
  return found;
}

function told(piece: Piece): string {
  const by = piece.mod ? ` by ${piece.mod}` : "";
  const likely = typeof piece.probability === "number" ? `, ${percent(piece.probability)}` : "";
  return `${piece.origin}${by}${likely}`;
}
