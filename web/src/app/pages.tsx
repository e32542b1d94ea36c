/** The pages: an address, what it shows, and where it stands in the navigation. A new page is one
 * more entry here, and its address one more in `server/api/page_paths.py`. */

import { lazy, type ReactNode } from "react";
import RequestsPage from "../pages/requests/RequestsPage.tsx";
import { match } from "./location.ts";

const RequestPage = lazy(() => import("../pages/request/RequestPage.tsx"));
const ComparePage = lazy(() => import("../pages/compare/ComparePage.tsx"));
const PlaygroundPage = lazy(() => import("../pages/playground/PlaygroundPage.tsx"));
const ModsPage = lazy(() => import("../pages/mods/ModsPage.tsx"));
const ModPage = lazy(() => import("../pages/mods/ModPage.tsx"));
const OverviewPage = lazy(() => import("../pages/overview/OverviewPage.tsx"));

interface Page {
  /** A pattern: `:name` stands for one part of the path. */
  at: string;
  /** The place in the navigation that is marked while it is shown. */
  place: string;
  show: (found: Record<string, string>) => ReactNode;
}

/** What the navigation names, in its order. A place leads to the first page of its name. */
export const PLACES = ["Requests", "Playground", "Mods", "Overview"];

export const PAGES: Page[] = [
  { at: "/", place: "Requests", show: () => <RequestsPage /> },
  { at: "/requests", place: "Requests", show: () => <RequestsPage /> },
  {
    at: "/requests/:id",
    place: "Requests",
    show: ({ id = "" }) => <RequestPage id={id} key={id} />,
  },
  {
    at: "/compare/:a/:b",
    place: "Requests",
    show: ({ a = "", b = "" }) => <ComparePage a={a} b={b} key={`${a} ${b}`} />,
  },
  { at: "/playground", place: "Playground", show: () => <PlaygroundPage /> },
  { at: "/mods", place: "Mods", show: () => <ModsPage /> },
  {
    at: "/mods/:name",
    place: "Mods",
    show: ({ name = "" }) => <ModPage name={name} key={name} />,
  },
  { at: "/overview", place: "Overview", show: () => <OverviewPage /> },
];

export interface Opened {
  place: string;
  shown: ReactNode;
}

/** The page that a path names, null where none does. */
export function pageAt(path: string): Opened | null {
  for (const page of PAGES) {
    const found = match(page.at, path);
    if (found) return { place: page.place, shown: page.show(found) };
  }
  return null;
}

/** Where a place leads: the first address of its own that has no parts to fill in. */
export function addressOf(place: string): string {
  const pages = PAGES.filter((page) => page.place === place && page.at !== "/");
  return pages.find((page) => !page.at.includes(":"))?.at ?? "/";
}
