/**
 * Builds the schema in the file of the first argument, like the tools of clients.
 *
 * Prints `{ types }`, the names of its types, or `{ refused }` if graphql-js refuses it.
 */
import { readFileSync } from 'node:fs';
import { buildSchema } from 'graphql';

try {
  const schema = buildSchema(readFileSync(process.argv[2], 'utf8'));
  console.log(JSON.stringify({ types: Object.keys(schema.getTypeMap()) }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.message }));
}
