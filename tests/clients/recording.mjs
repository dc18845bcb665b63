// Records each request that a client sends by `fetch`, and the head of its response.
export const sent = [];
const send = globalThis.fetch;

globalThis.fetch = async (address, options = {}) => {
  const response = await send(address, options);
  sent.push({
    method: options.method ?? "GET",
    // Whether the request has the text of a document, and not only its hash.
    document: options.body?.includes('"query"') ?? new URL(address).searchParams.has("query"),
    status: response.status,
    etag: response.headers.get("etag"),
  });
  return response;
};

/** Prints the result of a client in the form that the test reads. */
export function print(data, errors) {
  const shown = errors.map(({ message, path = [], extensions = {} }) => ({
    message,
    path: path.join("."),
    code: extensions.code ?? null,
    paths: extensions.paths?.map((one) => one.path.join(".")) ?? [],
  }));
  console.log(JSON.stringify({ data: data ?? null, errors: shown, sent }));
}
