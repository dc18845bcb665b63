import { ApolloClient, HttpLink, InMemoryCache, type DocumentNode } from "@apollo/client";
import { GraphQL17Alpha9Handler } from "@apollo/client/incremental";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
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

/** A document, as codegen writes it with `persistedDocuments`. */
type HashedDocument = DocumentNode & { __meta__?: { hash: string } };

/** Sends the hash of a document in its place: the gateway has the manifest that codegen writes. */
const byHash = new PersistedQueryLink({
  generateHash: (document: HashedDocument) => document.__meta__?.hash ?? "",
});

/** Makes the client with the three settings that the page needs. */
export function makeClient(): ApolloClient {
  const http = new HttpLink({ uri: gateway });
  return new ApolloClient({
    link: import.meta.env.VITE_TRUSTED_DOCUMENTS === "true" ? byHash.concat(http) : http,
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
