/**
 * Hive Gateway over the gateway under test and the reviews.
 *
 * It reads the schema of the first by `_service`, composes both by The Guild's composer, and serves
 * the supergraph. It enforces `@authenticated` and `@requiresScopes` where the schema has them.
 * Prints `{ url }` when it serves, or `{ refused }` when it does not start.
 *
 * Arguments: the address of the gateway under test, and its router token.
 */
import { createServer } from 'node:http';
import { createGatewayRuntime } from '@graphql-hive/gateway-runtime';
import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { SDL, serveReviews } from './reviews.mjs';

const [users, token] = process.argv.slice(2);

const response = await fetch(users, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', 'X-Router-Token': token },
  body: JSON.stringify({ query: '{ _service { sdl } }' }),
});
const { sdl } = (await response.json()).data._service;
const { supergraphSdl, errors } = composeServices([
  { name: 'users', url: users, typeDefs: parse(sdl) },
  { name: 'reviews', url: await serveReviews(), typeDefs: parse(SDL) },
]);
if (errors?.length) {
  console.log(JSON.stringify({ refused: errors.map(({ message }) => message).join('\n') }));
  process.exit(0);
}

/** Reads the claims of the caller. The gateway under test verifies the token. */
function claimsOf(request) {
  const payload = request.headers.get('authorization')?.split('.')[1];
  return payload ? JSON.parse(Buffer.from(payload, 'base64url').toString()) : null;
}

const gateway = createGatewayRuntime({
  logging: false,
  supergraph: supergraphSdl,
  genericAuth: {
    mode: 'protect-granular',
    rejectUnauthenticated: false,
    resolveUserFn: ({ request }) => claimsOf(request),
    extractScopes: (claims) => claims?.scope?.split(' ') ?? [],
  },
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) => ({
      authorization: request.headers.get('authorization') ?? undefined,
    }),
  },
});
const server = createServer(gateway);
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/graphql` }));
