// Notes each request that a client sends by `fetch`, and the head of its answer.
export const sent = [];
const send = globalThis.fetch;

globalThis.fetch = async (address, options = {}) => {
  const response = await send(address, options);
  sent.push({
    method: options.method ?? "GET",
    // Whether it has the text of a document, and not only its name.
    document: options.body?.includes('"query"') ?? new URL(address).searchParams.has("query"),
    status: response.status,
    etag: response.headers.get("etag"),
  });
  return response;
};

/** What a client made of an answer, as the test reads it. */
export function print(data, errors) {
  const shown = errors.map(({ message, path = [], extensions = {} }) => ({
    message,
    path: path.join("."),
    code: extensions.code ?? null,
    paths: extensions.paths?.map((one) => one.path.join(".")) ?? [],
  }));
  console.log(JSON.stringify({ data: data ?? null, errors: shown, sent }));
}
