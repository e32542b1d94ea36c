/** A scrolling list of rows of one height, of which only those in sight are drawn. */

import {
  type CSSProperties,
  type ReactNode,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from "react";

const SPARE = 8;

interface Props {
  count: number;
  /** Pixels. */
  rowHeight: number;
  row: (index: number) => ReactNode;
  className?: string;
  label: string;
  /** The row to bring into sight, whenever it changes. */
  show?: number | undefined;
  /** Called when the end comes near. */
  onEnd?: (() => void) | undefined;
  /** Told with every scrolling whether the first row is in sight. */
  onTop?: ((atTop: boolean) => void) | undefined;
}

export function VirtualList(props: Props) {
  const { count, rowHeight, row, className, label, show, onEnd, onTop } = props;
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight || 600));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element || show === undefined || show < 0) return;
    const start = show * rowHeight;
    const inSight =
      start >= element.scrollTop && start + rowHeight <= element.scrollTop + element.clientHeight;
    if (!inSight) element.scrollTop = Math.max(0, start - element.clientHeight / 2);
  }, [show, rowHeight]);

  const { first, last } = windowOf(top, height, rowHeight, count);
  const atEnd = last >= count;
  useEffect(() => {
    if (atEnd && count > 0) onEnd?.();
  }, [atEnd, count, onEnd]);

  const rows: ReactNode[] = [];
  for (let index = first; index < last; index += 1) rows.push(row(index));
  return (
    <div
      ref={box}
      className={`virtual ${className ?? ""}`}
      role="list"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
      tabIndex={0}
      // A list is as tall as its rows, up to what its class allows.
      style={{ "--rows": `${count * rowHeight}px` } as CSSProperties}
      onScroll={({ currentTarget: { scrollTop } }) => {
        setTop(scrollTop);
        onTop?.(scrollTop < rowHeight);
      }}
    >
      <div className="all" style={{ height: count * rowHeight }}>
        <div className="seen" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}

/** The rows to draw: those in sight, and a few on either side. */
export function windowOf(top: number, height: number, rowHeight: number, count: number) {
  const first = Math.max(0, Math.min(count, Math.floor(top / rowHeight)) - SPARE);
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + SPARE);
  return { first, last };
}
