// Asks with urql, and prints each result on a line.
import { Client, fetchExchange } from "@urql/core";

const [url, accept, query, variables] = process.argv.slice(2);
const client = new Client({
  url,
  exchanges: [fetchExchange],
  preferGetMethod: false,
  fetchOptions: accept ? { headers: { accept } } : {},
});
client.query(query, JSON.parse(variables)).subscribe(({ data, error, hasNext }) => {
  const codes = (error?.graphQLErrors ?? []).map((one) => one.extensions.code);
  console.log(JSON.stringify({ data, codes, last: !hasNext || undefined }));
});
