// Sends a document by plain `fetch`, and prints the result as one line of JSON.
// Arguments: the address, the document, and options as JSON.
import { print } from "./recording.mjs";

const [url, document, text] = process.argv.slice(2);
const { variables = {}, grouped, hash, get, after, again, token } = JSON.parse(text);
const named = hash ? { documentId: hash } : { query: document };
const extensions = grouped ? { errors: "grouped" } : undefined;
const authorized = token ? { Authorization: `Bearer ${token}` } : {};

function request(values, headers = {}) {
  if (!get) {
    return fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorized },
      body: JSON.stringify({ ...named, variables: values, extensions }),
    });
  }
  const parameters = new URLSearchParams({ ...named, variables: JSON.stringify(values) });
  return fetch(`${url}?${parameters}`, {
    headers: { "GraphQL-Require-Preflight": "1", ...headers },
  });
}

const response = await request(variables);
const { data, errors = [] } = await response.json();
if (after) {
  const { endCursor } = data.user.invoices.pageInfo;
  const next = await (await request({ ...variables, after: endCursor })).json();
  data.user.invoices.edges.push(...next.data.user.invoices.edges);
}
if (again) await request(variables, { "If-None-Match": response.headers.get("etag") });
print(data, errors);
