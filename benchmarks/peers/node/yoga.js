import { createServer } from 'node:http';
import { useDeferStream } from '@graphql-yoga/plugin-defer-stream';
import { createSchema, createYoga } from 'graphql-yoga';
import { makeContext, port, resolvers, typeDefs } from './users.js';

const yoga = createYoga({
  schema: createSchema({
    typeDefs: ['directive @key(fields: String!) on OBJECT', typeDefs],
    resolvers,
  }),
  plugins: [useDeferStream()],
  context: () => makeContext(),
  graphiql: false,
  landingPage: false,
  logging: false,
});
createServer(yoga).listen(port, '127.0.0.1');
