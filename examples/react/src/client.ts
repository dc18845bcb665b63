import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQL17Alpha9Handler } from "@apollo/client/incremental";
import { relayStylePagination } from "@apollo/client/utilities";

const gateway = import.meta.env.VITE_GATEWAY_URL ?? "http://127.0.0.1:8000/graphql";

// Tells the compiler of the error policy below: `data` may be there beside `error`.
declare module "@apollo/client" {
  namespace ApolloClient {
    namespace DeclareDefaultOptions {
      interface WatchQuery {
        errorPolicy: "all";
      }
      interface Query {
        errorPolicy: "all";
      }
    }
  }
}

/** Makes the client with the three settings that the page needs. */
export function makeClient(): ApolloClient {
  return new ApolloClient({
    link: new HttpLink({ uri: gateway }),
    cache: new InMemoryCache({
      // Adds each further page of invoices to those that are there.
      typePolicies: { User: { fields: { invoices: relayStylePagination() } } },
    }),
    // Without a handler, Apollo Client refuses documents with `@defer`.
    incrementalHandler: new GraphQL17Alpha9Handler(),
    defaultOptions: {
      // The default, "none", throws all data away as soon as one field has an error.
      watchQuery: { errorPolicy: "all" },
      query: { errorPolicy: "all" },
    },
  });
}
