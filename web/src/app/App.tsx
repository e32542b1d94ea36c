/** The frame: navigation, and the page that the address names. Pages are fetched when needed. */

import { Component, type ReactNode, Suspense } from "react";
import { Waiting } from "../parts/Waiting.tsx";
import { Link } from "./Link.tsx";
import { useLocation } from "./location.ts";
import { addressOf, PLACES, pageAt } from "./pages.tsx";

export function App() {
  const { path } = useLocation();
  const page = pageAt(path);
  return (
    <>
      <a className="skip" href="#content">
        To the content
      </a>
      <nav className="top" aria-label="Pages">
        <Link className="mark" href="/requests">
          Concordance
        </Link>
        {PLACES.map((place) => (
          <Link
            key={place}
            href={addressOf(place)}
            aria-current={page?.place === place ? "page" : undefined}
          >
            {place}
          </Link>
        ))}
      </nav>
      <main id="content" tabIndex={-1}>
        <Boundary key={path}>
          <Suspense fallback={<Waiting slow={false} />}>{page?.shown ?? <NoPage />}</Suspense>
        </Boundary>
      </main>
    </>
  );
}

function NoPage() {
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
