// Asks with graphql-sse, and prints each payload on a line.
import { createClient } from "graphql-sse";

const [url, , query, variables] = process.argv.slice(2);
const client = createClient({ url });
for await (const payload of client.iterate({ query, variables: JSON.parse(variables) })) {
  console.log(JSON.stringify(payload));
}
