import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { makeContext, port, resolvers, typeDefs } from './users.js';

const server = new ApolloServer({ typeDefs, resolvers, introspection: false });
await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port },
  context: async () => makeContext(),
});
