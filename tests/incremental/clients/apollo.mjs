// Asks with Apollo Client, and prints each result on a line.
import { ApolloClient, HttpLink, InMemoryCache, NetworkStatus, gql } from "@apollo/client";
import { Defer20220824Handler, GraphQL17Alpha9Handler } from "@apollo/client/incremental";

const [url, handler, query, variables] = process.argv.slice(2);
const handlers = { 2022: Defer20220824Handler, current: GraphQL17Alpha9Handler };
const client = new ApolloClient({
  link: new HttpLink({ uri: url }),
  cache: new InMemoryCache(),
  incrementalHandler: new handlers[handler](),
});
const options = { query: gql(query), variables: JSON.parse(variables), errorPolicy: "all" };
client.watchQuery(options).subscribe(({ data, dataState, error, networkStatus }) => {
  if (dataState === "empty" && !error) return;
  const codes = (error?.errors ?? []).map((one) => one.extensions.code);
  const ended = [NetworkStatus.ready, NetworkStatus.error].includes(networkStatus);
  console.log(JSON.stringify({ data, codes, last: ended || undefined }));
});
