// Reads a list in pages as Relay's usePaginationFragment does, and prints the content of the store
// after each page as one line of JSON.
// Arguments: the address, the folder of the compiled artifacts, the id of a user.
import { createRequire } from "node:module";
import { join } from "node:path";
import relay from "relay-runtime";

const [url, artifacts, id] = process.argv.slice(2);
const load = createRequire(import.meta.url);
const artifact = (name) => load(join(artifacts, `${name}.graphql.js`));
const sent = [];

const network = relay.Network.create(async ({ text, name }, variables) => {
  sent.push({ name, variables });
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query: text, variables }),
  });
  return response.json();
});
const environment = new relay.Environment({
  network,
  store: new relay.Store(new relay.RecordSource()),
});

const query = artifact("PageQuery");
const operation = relay.createOperationDescriptor(query, { id });
environment.retain(operation);
await relay.fetchQuery(environment, query, { id }).toPromise();

const fragment = artifact("Invoices_user");
function read() {
  const { user } = environment.lookup(operation.fragment).data;
  return environment.lookup(relay.getSingularSelector(fragment, user)).data;
}
const numbers = ({ invoices }) => invoices.edges.map(({ node }) => node.number);

const first = read();
const { paginationRequest, paginationMetadata } = relay.getPaginationMetadata(fragment, "a test");
const { identifierInfo } = relay.getRefetchMetadata(fragment, "a test");
const variables = relay.getPaginationVariables(
  "forward",
  2,
  first.invoices.pageInfo.endCursor,
  {},
  {},
  paginationMetadata,
);
variables[identifierInfo.identifierQueryVariableName] = first[identifierInfo.identifierField];
await relay.fetchQuery(environment, paginationRequest, variables).toPromise();
const second = read();
console.log(
  JSON.stringify({
    first: numbers(first),
    second: numbers(second),
    more: second.invoices.pageInfo.hasNextPage,
    sent,
  }),
);
