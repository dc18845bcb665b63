// Sends a document by urql, and prints the result as one line of JSON.
// Arguments: the address, the document, options of the client, and options of the request as JSON.
import { print } from "./recording.mjs";
import { Client, createRequest, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

const [url, document, ofClient, ofRequest = "{}"] = process.argv.slice(2);
const { variables = {}, grouped, hash, get, after, token } = JSON.parse(ofRequest);
const byHash = persistedExchange({
  generateHash: async () => hash,
  enforcePersistedQueries: true,
  preferGetForPersistedQueries: get,
});
const exchanges = hash ? [byHash, fetchExchange] : [fetchExchange];
const authorized = { fetchOptions: () => ({ headers: { Authorization: `Bearer ${token}` } }) };
const options = { ...JSON.parse(ofClient), ...(token ? authorized : {}) };
const client = new Client({ url, exchanges, ...options });
const extensions = grouped ? { errors: "grouped" } : undefined;

async function request(values) {
  return client.executeQuery(createRequest(document, values, extensions)).toPromise();
}

let { data, error } = await request(variables);
if (after) {
  const { endCursor } = data.user.invoices.pageInfo;
  const next = await request({ ...variables, after: endCursor });
  data.user.invoices.edges.push(...next.data.user.invoices.edges);
}
print(data, [...(error?.graphQLErrors ?? []), ...(error?.networkError ? [error.networkError] : [])]);
