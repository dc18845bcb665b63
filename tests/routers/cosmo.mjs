/**
 * Cosmo's composer over the schema of the gateway under test and that of the reviews.
 *
 * Prints `{ url }` with the address of the first subgraph when they compose, or `{ refused }`.
 *
 * Arguments: the address of the gateway under test, and its router token.
 */
import { federateSubgraphs, ROUTER_COMPATIBILITY_VERSION_ONE } from '@wundergraph/composition';
import { parse } from 'graphql';
import { SDL } from './reviews.mjs';

const [users, token] = process.argv.slice(2);
const response = await fetch(users, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', 'X-Router-Token': token },
  body: JSON.stringify({ query: '{ _service { sdl } }' }),
});
const { data } = await response.json();
const result = federateSubgraphs({
  subgraphs: [
    { name: 'users', url: users, definitions: parse(data._service.sdl) },
    { name: 'reviews', url: 'http://reviews.internal', definitions: parse(SDL) },
  ],
  version: ROUTER_COMPATIBILITY_VERSION_ONE,
});
console.log(
  JSON.stringify(
    result.success
      ? { url: users }
      : { refused: result.errors.map((error) => error.message).join('\n') },
  ),
);
