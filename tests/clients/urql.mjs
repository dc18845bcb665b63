// Asks the gateway by urql, and prints what comes of it as one line of JSON.
// Arguments: the address, the document, and further options of the client as JSON.
import { Client, fetchExchange } from "@urql/core";

const [url, document, options] = process.argv.slice(2);
const client = new Client({ url, exchanges: [fetchExchange], ...JSON.parse(options) });
const { data, error } = await client.query(document, {}).toPromise();
const errors = error?.graphQLErrors.map(({ message, extensions }) => ({
  message,
  code: extensions?.code ?? null,
}));
console.log(JSON.stringify({ data: data ?? null, errors: errors ?? [], network: error?.networkError?.message ?? null }));
