/** The frame: navigation, and the page that the address names. Pages are fetched when needed. */

import { Component, lazy, type ReactNode, Suspense } from "react";
import RequestsPage from "../pages/requests/RequestsPage.tsx";
import { Waiting } from "../parts/Waiting.tsx";
import { Link } from "./Link.tsx";
import { match, useLocation } from "./location.ts";

const RequestPage = lazy(() => import("../pages/request/RequestPage.tsx"));
const ComparePage = lazy(() => import("../pages/compare/ComparePage.tsx"));
const PlaygroundPage = lazy(() => import("../pages/playground/PlaygroundPage.tsx"));
const ModsPage = lazy(() => import("../pages/mods/ModsPage.tsx"));
const ModPage = lazy(() => import("../pages/mods/ModPage.tsx"));
const OverviewPage = lazy(() => import("../pages/overview/OverviewPage.tsx"));

/** Patterns of addresses, and what they show. `server/api/page.py` answers the same ones. */
const ROUTES: [string, (found: Record<string, string>) => ReactNode][] = [
  ["/", () => <RequestsPage />],
  ["/requests", () => <RequestsPage />],
  ["/requests/:id", ({ id = "" }) => <RequestPage id={id} key={id} />],
  ["/compare/:a/:b", ({ a = "", b = "" }) => <ComparePage a={a} b={b} key={`${a} ${b}`} />],
  ["/playground", () => <PlaygroundPage />],
  ["/mods", () => <ModsPage />],
  ["/mods/:name", ({ name = "" }) => <ModPage name={name} key={name} />],
  ["/overview", () => <OverviewPage />],
];

const PLACES: [string, string][] = [
  ["/requests", "Requests"],
  ["/playground", "Playground"],
  ["/mods", "Mods"],
  ["/overview", "Overview"],
];

export function App() {
  const { path } = useLocation();
  return (
    <>
      <a className="skip" href="#content">
        To the content
      </a>
      <nav className="top" aria-label="Pages">
        <Link className="mark" href="/requests">
          Concordance
        </Link>
        {PLACES.map(([href, words]) => (
          <Link
            key={href}
            href={href}
            aria-current={
              path.startsWith(href) || (path === "/" && href === "/requests") ? "page" : undefined
            }
          >
            {words}
          </Link>
        ))}
      </nav>
      <main id="content" tabIndex={-1}>
        <Boundary key={path}>
          <Suspense fallback={<Waiting slow={false} />}>{pageOf(path)}</Suspense>
        </Boundary>
      </main>
    </>
  );
}

function pageOf(path: string): ReactNode {
  for (const [pattern, page] of ROUTES) {
    const found = match(pattern, path);
    if (found) return page(found);
  }
  return (
    <div className="nothing">
      <h1>There is no such page</h1>
      <Link href="/requests">To the requests</Link>
    </div>
  );
}

/** A fault of the page's own, or a part of it that could not be fetched: said, with a way on. */
class Boundary extends Component<{ children: ReactNode }, { fault: string | null }> {
  override state = { fault: null as string | null };

  static getDerivedStateFromError(error: unknown) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    if (this.state.fault === null) return this.props.children;
    return (
      <div className="trouble" role="alert">
        <strong>This page broke</strong>
        <p>Perhaps the server was renewed or is away. Load the page again to go on.</p>
        <p className="detail">{this.state.fault}</p>
        <button type="button" onClick={() => location.reload()}>
          Load it again
        </button>
      </div>
    );
  }
}
