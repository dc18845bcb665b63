// Asks with fetch and meros, as GraphiQL does, and prints each payload on a line.
import { meros } from "meros/browser";

const [url, accept, query, variables] = process.argv.slice(2);
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json", Accept: accept },
  body: JSON.stringify({ query, variables: JSON.parse(variables) }),
});
for await (const part of await meros(response)) {
  console.log(JSON.stringify(part.body));
}
