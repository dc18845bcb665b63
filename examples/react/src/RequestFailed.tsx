import type { Failures } from "./failures";

interface Props {
  failures: Failures;
  onRetry: () => void;
}

/** Says why there is nothing to show. */
export function RequestFailed({ failures, onRetry }: Props) {
  return (
    <div className="notice" role="alert">
      <p>
        <strong>The users cannot be shown.</strong> {failures.others.join(" ")}
      </p>
      {failures.retryable && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
