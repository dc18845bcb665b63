import { ApolloServer } from '@apollo/server';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { startStandaloneServer } from '@apollo/server/standalone';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';
import { makeContext, port, resolvers, typeDefs } from './users.js';

const server = new ApolloServer({
  schema: buildSubgraphSchema([{ typeDefs: parse(typeDefs), resolvers }]),
  introspection: false,
  plugins: [ApolloServerPluginInlineTraceDisabled()],
});
await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port },
  context: async () => makeContext(),
});
