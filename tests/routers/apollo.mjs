/**
 * Apollo's JavaScript gateway over the gateway under test and the reviews.
 *
 * It reads the schemas of both by `_service`, composes them by Apollo's composer, and serves the
 * supergraph. Prints `{ url }` when it serves, or `{ refused }` when it does not start.
 *
 * Arguments: the address of the gateway under test, and its router token.
 */
import { ApolloGateway, IntrospectAndCompose, RemoteGraphQLDataSource } from '@apollo/gateway';
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { serveReviews } from './reviews.mjs';

const [users, token] = process.argv.slice(2);

/** Sends the token of the caller to a subgraph. */
class ForTheCaller extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    if (context.authorization) request.http.headers.set('authorization', context.authorization);
  }
}

const logger = { debug() {}, info() {}, warn() {}, error() {} };
const gateway = new ApolloGateway({
  logger,
  supergraphSdl: new IntrospectAndCompose({
    subgraphs: [
      { name: 'users', url: users },
      { name: 'reviews', url: await serveReviews() },
    ],
    introspectionHeaders: { 'X-Router-Token': token },
  }),
  buildService: ({ url }) => new ForTheCaller({ url }),
});
try {
  const server = new ApolloServer({ gateway, logger });
  const { url } = await startStandaloneServer(server, {
    listen: { host: '127.0.0.1', port: 0 },
    context: async ({ req }) => ({ authorization: req.headers.authorization }),
  });
  console.log(JSON.stringify({ url }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.message }));
  process.exit(0);
}
