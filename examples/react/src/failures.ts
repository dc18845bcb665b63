import { CombinedGraphQLErrors, type ErrorLike } from "@apollo/client";
import { isErrorCode, retryableCodes } from "../../../docs/clients/error-codes";

/** What a source that failed costs the page. */
export interface SourceFailure {
  source: string;
  message: string;
  /** Positions in the list of the users that lack data. */
  positions: ReadonlySet<number>;
}

/** What an answer lacks. */
export interface Failures {
  bySource: ReadonlyMap<string, SourceFailure>;
  /** Messages about anything else: the connection, the request, a field that may not be seen. */
  others: readonly string[];
  /** Whether the same request may succeed later. */
  retryable: boolean;
  /** Whether a field of the user at this position failed. */
  has(position: number, field: string): boolean;
}

/** Sorts the errors of a list of users by the source that failed. */
export function failuresOf(error: ErrorLike | undefined): Failures {
  const paths = new Set<string>();
  const bySource = new Map<string, { message: string; positions: Set<number> }>();
  const others = new Set<string>();
  // An error without codes is one of the connection, which may be better soon.
  let retryable = error !== undefined && !CombinedGraphQLErrors.is(error);
  if (CombinedGraphQLErrors.is(error)) {
    for (const { message, path = [], extensions = {} } of error.errors) {
      const [, position, field] = path;
      const { code, source } = extensions;
      if (isErrorCode(code) && retryableCodes.has(code)) retryable = true;
      if (typeof position === "number") paths.add(`${position}.${field}`);
      if (typeof source !== "string") {
        others.add(message);
        continue;
      }
      const failure = bySource.get(source) ?? { message, positions: new Set() };
      if (typeof position === "number") failure.positions.add(position);
      bySource.set(source, failure);
    }
  } else if (error) {
    others.add(`The gateway could not be asked: ${error.message}`);
  }
  return {
    bySource: new Map([...bySource].map(([source, one]) => [source, { source, ...one }])),
    others: [...others],
    retryable,
    has: (position, field) => paths.has(`${position}.${field}`),
  };
}
