// Sends a document by Apollo Client, and prints the result as one line of JSON.
// Arguments: the address, the document, and options as JSON.
import { print } from "./recording.mjs";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { relayStylePagination } from "@apollo/client/utilities";

const [url, document, text] = process.argv.slice(2);
const { variables, errorPolicy, grouped, hash, get, after, token } = JSON.parse(text);

const grouping = new ApolloLink((operation, forward) => {
  operation.extensions.errors = "grouped";
  return forward(operation);
});
const links = [new HttpLink({ uri: url, includeExtensions: Boolean(grouped) })];
if (grouped) links.unshift(grouping);
const withToken = new SetContextLink(({ headers }) => ({
  headers: { ...headers, Authorization: `Bearer ${token}` },
}));
if (token) links.unshift(withToken);
if (hash) {
  links.unshift(new PersistedQueryLink({ generateHash: () => hash, useGETForHashedQueries: get }));
}
const client = new ApolloClient({
  link: ApolloLink.from(links),
  cache: new InMemoryCache({ typePolicies: { User: { fields: { invoices: relayStylePagination() } } } }),
});
const query = gql(document);

async function run() {
  const { data, error } = await client.query({ query, variables, errorPolicy });
  if (!after) return { data, error };
  const observed = client.watchQuery({ query, variables });
  observed.subscribe(() => {});
  const { endCursor } = data.user.invoices.pageInfo;
  await observed.fetchMore({ variables: { after: endCursor } });
  return { data: client.readQuery({ query, variables }) };
}

const { data, error } = await run().catch((error) => ({ error }));
const errors = CombinedGraphQLErrors.is(error) ? error.errors : error ? [error] : [];
print(data, errors);
