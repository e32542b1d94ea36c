/** The whole page in a document without a browser: opened at an address, read and clicked. */

import { act, createElement } from "react";
import { createRoot, type Root } from "react-dom/client";
import { vi } from "vitest";
import { setKey } from "../src/api/key.ts";
import { forgetPieces } from "../src/api/pieces.ts";
import { App } from "../src/app/App.tsx";
import { forgetPlayground } from "../src/pages/playground/conversation.ts";
import { FakeServer } from "./server.ts";

declare global {
  var IS_REACT_ACT_ENVIRONMENT: boolean;
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

let root: Root | null = null;

/** A tab that was just opened, and the server it talks to. For `beforeEach`. */
export function setUp(): FakeServer {
  vi.stubGlobal("scrollTo", () => undefined);
  // No layout here: CodeMirror measures, and finds nothing.
  Range.prototype.getClientRects ??= () => [] as unknown as DOMRectList;
  forgetPieces();
  forgetPlayground();
  return new FakeServer();
}

/** Leaves nothing of it. For `afterEach`. */
export async function tearDown(): Promise<void> {
  await close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  setKey("", false);
}

export async function open(address: string): Promise<void> {
  await close();
  history.replaceState(null, "", address);
  const place = document.createElement("div");
  document.body.replaceChildren(place);
  root = createRoot(place);
  await act(async () => root?.render(createElement(App)));
}

export async function close(): Promise<void> {
  await act(async () => root?.unmount());
  root = null;
}

/** Waits until the page says this; fails with what it says instead. */
export async function says(words: string | RegExp): Promise<void> {
  const there = () => {
    const text = document.body.textContent ?? "";
    return typeof words === "string" ? text.includes(words) : words.test(text);
  };
  if (await until(there)) return;
  throw new Error(`the page does not say ${words}; it says: ${document.body.textContent}`);
}

/** Waits until something is in the document. */
export async function appears(selector: string): Promise<void> {
  if (await until(() => document.querySelector(selector) !== null)) return;
  throw new Error(`${selector} does not appear; there is: ${document.body.textContent}`);
}

async function until(there: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (there()) return true;
    await act(() => new Promise((resolve) => setTimeout(resolve, 10)));
  }
  return false;
}

export function find<T extends Element>(selector: string, words = ""): T {
  const found = [...document.querySelectorAll<T>(selector)].find((each) =>
    `${each.textContent} ${each.getAttribute("aria-label") ?? ""}`.includes(words),
  );
  if (!found)
    throw new Error(`no ${selector} with “${words}” in: ${document.body.innerHTML.slice(0, 4000)}`);
  return found;
}

export async function click(selector: string, words = ""): Promise<void> {
  await act(async () => {
    find<HTMLElement>(selector, words).dispatchEvent(
      new MouseEvent("click", { bubbles: true, cancelable: true }),
    );
  });
}

/** Types a whole text into a field. */
export async function type(selector: string, text: string): Promise<void> {
  const field = find<HTMLInputElement | HTMLTextAreaElement>(selector);
  const prototype = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
  const set = Object.getOwnPropertyDescriptor(prototype.prototype, "value")?.set;
  await act(async () => {
    set?.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

export async function submit(selector: string): Promise<void> {
  await act(async () => {
    find<HTMLFormElement>(selector).dispatchEvent(
      new Event("submit", { bubbles: true, cancelable: true }),
    );
  });
}

export async function press(key: string): Promise<void> {
  await act(async () => {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  });
}
