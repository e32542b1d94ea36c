/** That something is on its way; after a while, that it takes long, with a way to ask again. */
export function Waiting({ slow, onRetry }: { slow: boolean; onRetry?: () => void }) {
  return (
    <div className="waiting" role="status">
      <span className="bar" aria-hidden="true" />
      {slow ? (
        <>
          This takes longer than usual.{" "}
          {onRetry && (
            <button type="button" onClick={onRetry}>
              Ask again
            </button>
          )}
        </>
      ) : (
        "Loading …"
      )}
    </div>
  );
}
