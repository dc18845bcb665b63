import { mercuriusFederationPlugin } from '@mercuriusjs/federation';
import Fastify from 'fastify';
import { makeContext, port, resolvers, typeDefs } from './users.js';

const app = Fastify({ logger: false });
app.register(mercuriusFederationPlugin, {
  schema: typeDefs.replace('type Query', 'extend type Query'),
  resolvers,
  jit: 1,
  graphiql: false,
  context: () => makeContext(),
});
await app.listen({ host: '127.0.0.1', port });
