/** The tokens, in lines. Only those in sight are in the document, however many there are. */

import {
  type KeyboardEvent,
  type MouseEvent,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { classes } from "../app/form.ts";
import { type Item, lineAt, linesOf } from "../trace/layout.ts";
import { VirtualList } from "./VirtualList.tsx";

const LINE_HEIGHT = 28;
const USUAL_COLUMNS = 80;

interface Props {
  items: readonly Item[];
  /** The class of an item, by its first cell. */
  classOf: (item: Item) => string;
  /** A cell: it is marked and brought into sight. */
  selected: number;
  onSelect: (cell: number) => void;
  onHover?: (cell: number) => void;
  onUnfold?: (item: Item) => void;
  label: string;
}

export function TokenStrip(props: Props) {
  const { items, classOf, selected, onSelect, onHover, onUnfold, label } = props;
  const box = useRef<HTMLDivElement>(null);
  const pointer = useRef("");
  const columns = useColumns(box);
  const lines = useMemo(() => linesOf(items, columns), [items, columns]);
  const place = useMemo(() => itemAt(items, selected), [items, selected]);

  const cellUnder = (event: MouseEvent): Item | undefined => {
    const found = (event.target as HTMLElement).closest<HTMLElement>("[data-item]");
    return found ? items[Number(found.dataset.item)] : undefined;
  };
  const click = (event: MouseEvent) => {
    const item = cellUnder(event);
    if (!item) return;
    if (item.kind === "token") onSelect(item.cell);
    else onUnfold?.(item);
  };
  const hover = (event: MouseEvent) => {
    const at = `${event.clientX} ${event.clientY}`;
    // Where the lines move under a pointer that rests, browsers tell of it, too.
    if (at === pointer.current) return;
    pointer.current = at;
    const item = cellUnder(event);
    if (item?.kind === "token") onHover?.(item.cell);
  };
  const move = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    let next = place + step;
    while (items[next] && items[next]!.kind !== "token") next += step;
    const item = items[next];
    if (item) onSelect(item.cell);
  };

  return (
    <div
      ref={box}
      className="strip"
      role="group"
      aria-label={label}
      onClick={click}
      onMouseMove={hover}
      onMouseLeave={() => onHover?.(-1)}
      onKeyDown={move}
    >
      <VirtualList
        count={lines.length}
        rowHeight={LINE_HEIGHT}
        label={`${label}, line by line`}
        show={place < 0 ? undefined : lineAt(lines, place)}
        row={(index) => {
          const line = lines[index]!;
          return (
            <div className="line" role="listitem" key={index}>
              {items.slice(line.first, line.first + line.count).map((item, offset) => (
                <span
                  key={item.cell}
                  data-item={line.first + offset}
                  aria-current={line.first + offset === place || undefined}
                  className={classes("token", item.kind !== "token" && "fold", classOf(item))}
                >
                  {item.shown}
                </span>
              ))}
            </div>
          );
        }}
      />
    </div>
  );
}

/** The place of the item that holds a cell, -1 if none does. */
export function itemAt(items: readonly Item[], cell: number): number {
  if (cell < 0) return -1;
  let low = 0;
  let high = items.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const item = items[middle]!;
    if (cell < item.cell) high = middle - 1;
    else if (cell >= item.cell + item.count) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** How many characters of the strip's face fit into its width. */
function useColumns(box: React.RefObject<HTMLDivElement | null>): number {
  const [columns, setColumns] = useState(USUAL_COLUMNS);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const ruler = document.createElement("span");
    ruler.className = "ruler";
    ruler.textContent = "0".repeat(100);
    element.append(ruler);
    const one = ruler.getBoundingClientRect().width / 100 || 8;
    ruler.remove();
    const observer = new ResizeObserver(() => {
      const room = element.clientWidth - 36;
      setColumns(Math.max(16, Math.floor(room / one)));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return columns;
}
