import Fastify from 'fastify';
import mercurius from 'mercurius';
import { makeContext, port, resolvers, typeDefs } from './users.js';

const app = Fastify({ logger: false });
app.register(mercurius, {
  schema: typeDefs,
  resolvers,
  jit: 1,
  graphiql: false,
  context: () => makeContext(),
});
await app.listen({ host: '127.0.0.1', port });
