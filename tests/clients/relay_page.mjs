// Sends a query by Relay, and prints the content of its store as one line of JSON.
// Arguments: the address, the compiled artifact of the query, and options as JSON.
import { print } from "./recording.mjs";
import { createRequire } from "node:module";
import relay from "relay-runtime";

const [url, artifact, text] = process.argv.slice(2);
const { variables, grouped, get, token } = JSON.parse(text);
const authorized = token ? { Authorization: `Bearer ${token}` } : {};
const errors = [];

const network = relay.Network.create(async ({ text: query, id }, values) => {
  const named = id ? { documentId: id } : { query };
  const request = get ? read(named, values) : send(named, values);
  const answer = await (await request).json();
  errors.push(...(answer.errors ?? []));
  return answer;
});

function send(named, values) {
  const extensions = grouped ? { errors: "grouped" } : undefined;
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorized },
    body: JSON.stringify({ ...named, variables: values, extensions }),
  });
}

function read(named, values) {
  const parameters = new URLSearchParams({ ...named, variables: JSON.stringify(values) });
  return fetch(`${url}?${parameters}`, { headers: { "GraphQL-Require-Preflight": "1" } });
}

const environment = new relay.Environment({
  network,
  store: new relay.Store(new relay.RecordSource()),
});
const query = createRequire(import.meta.url)(artifact);
const operation = relay.createOperationDescriptor(query, variables);
environment.retain(operation);
await relay.fetchQuery(environment, query, variables).toPromise();
print(environment.lookup(operation.fragment).data, errors);
