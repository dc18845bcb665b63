// The codes in `extensions.code` of errors. Written by: user-gateway errors --typescript

export const errorCodes = [
  // The source did not answer in time.
  "SOURCE_TIMEOUT",
  // There is no connection to the source, or it answered with a status of 500 or more.
  "SOURCE_UNAVAILABLE",
  // The source was not called, because earlier calls failed.
  "SOURCE_CIRCUIT_OPEN",
  // The source refused the call: a status from 400 to 499, such as one for credentials.
  "SOURCE_REJECTED",
  // The source answered with something that does not fit its contract.
  "SOURCE_MALFORMED",
  // The source asked for fewer calls, or too many calls to it wait already.
  "SOURCE_OVERLOADED",
  // Too many operations run at the moment, or too many connections are open (status 503).
  "GATEWAY_OVERLOADED",
  // The operation exceeds a limit.
  "QUERY_TOO_COMPLEX",
  // The keys of the identity provider cannot be had (status 503).
  "AUTHENTICATION_UNAVAILABLE",
  // The caller has used its quota (status 429). `Retry-After` says when there is more.
  "RATE_LIMITED",
  // The document selects the schema, which clients may not read here.
  "INTROSPECTION_DISABLED",
  // The token is missing, invalid or expired (status 401); or the field is about the caller, and there is no token.
  "UNAUTHENTICATED",
  // The caller may not see the field. The message says who may see it.
  "FORBIDDEN",
  // An argument or a variable has an invalid value.
  "BAD_USER_INPUT",
  // The HTTP request is not a GraphQL request. The message says what is expected.
  "BAD_REQUEST",
  // The document is not GraphQL.
  "GRAPHQL_PARSE_FAILED",
  // The document does not fit the schema.
  "GRAPHQL_VALIDATION_FAILED",
  // The document has no operation with this name, or several and the request names none; or it came by GET and is no query (status 405).
  "OPERATION_RESOLUTION_FAILURE",
  // The request has only the hash of its document: send the document, too.
  "PERSISTED_QUERY_NOT_SUPPORTED",
  // The document of this hash is not known yet: send it with the hash. Apollo's clients do.
  "PERSISTED_QUERY_NOT_FOUND",
  // The document is none of those that the operator provides.
  "DOCUMENT_NOT_TRUSTED",
  // The gateway has a bug. Its log has the details under the request id.
  "INTERNAL_SERVER_ERROR",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

// Those after which the same request may succeed later.
export const retryableCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "SOURCE_TIMEOUT",
  "SOURCE_UNAVAILABLE",
  "SOURCE_CIRCUIT_OPEN",
  "SOURCE_OVERLOADED",
  "GATEWAY_OVERLOADED",
  "AUTHENTICATION_UNAVAILABLE",
  "RATE_LIMITED",
]);

// `extensions` of an error.
export interface ErrorExtensions {
  code: ErrorCode;
  // The source that failed.
  source?: string;
  // The failed fields of a grouped error, with `*` in the place of numbers.
  paths?: { path: string[]; count: number }[];
  // The limit that was exceeded, and its value.
  limit?: string;
  allowed?: number;
  // Leads to the log of the gateway.
  requestId?: string;
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return (errorCodes as readonly unknown[]).includes(value);
}
