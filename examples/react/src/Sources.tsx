import type { Failures } from "./failures";
import { capitalized } from "./format";
import { isPending, type Row, type User } from "./UsersTable";

// A field of each source. It is undefined until the payload with the data of the source is there.
const SOURCES: Record<string, keyof User> = {
  profile: "displayName",
  billing: "plan",
  activity: "lastSeenAt",
};

const STATE_TEXT = { loading: "loading", ready: "up to date", failed: "unavailable" };

interface Props {
  rows: Row[] | undefined;
  failures: Failures;
  /** What failed in the answer before, if the query is being repeated. */
  retried: Failures | undefined;
  loading: boolean;
  onRetry: () => void;
}

/** Shows the state of each source, and what a source that failed costs. */
export function Sources({ rows, failures, retried, loading, onRetry }: Props) {
  const failed = [...failures.bySource.values()];

  function stateOf(source: string, field: keyof User): keyof typeof STATE_TEXT {
    if (failures.bySource.has(source)) return "failed";
    const isMissing = !rows || rows.some((row) => isPending(row, field, retried));
    if (loading && isMissing) return "loading";
    return isMissing ? "failed" : "ready";
  }

  return (
    <section aria-label="Sources">
      <ul className="sources">
        {Object.entries(SOURCES).map(([source, field]) => {
          const state = stateOf(source, field);
          return (
            <li key={source} data-state={state}>
              <strong>{capitalized(source)}</strong> {STATE_TEXT[state]}
            </li>
          );
        })}
      </ul>
      {/* Always there, because a screen reader announces changes of an element that it knows. */}
      <div role="status">
        {(failed.length > 0 || failures.others.length > 0) && (
          <div className="notice">
            <ul>
              {failed.map(({ source, message, positions }) => (
                <li key={source}>
                  <strong>{message}</strong> Its data is missing for {positions.size} of{" "}
                  {rows?.length ?? 0} users. All other data is shown.
                </li>
              ))}
              {failures.others.map((message) => (
                <li key={message}>{message}</li>
              ))}
            </ul>
            {failures.retryable && (
              <button type="button" onClick={onRetry} disabled={loading}>
                Try again
              </button>
            )}
          </div>
        )}
      </div>
    </section>
  );
}
