// Validates an operation with graphql-js 17 by the exported schema, executes it there, and prints
// each payload on a line.
import { readFileSync } from "node:fs";
import {
  buildSchema,
  experimentalExecuteIncrementally,
  parse,
  validate,
} from "graphql";

const [file, query, variables, root] = process.argv.slice(2);
const schema = buildSchema(readFileSync(file, "utf-8"));
const document = parse(query);
const errors = validate(schema, document);
if (errors.length) {
  console.log(JSON.stringify({ errors }));
  process.exit(1);
}
const result = await experimentalExecuteIncrementally({
  schema,
  document,
  rootValue: JSON.parse(root),
  variableValues: JSON.parse(variables),
});
if ("initialResult" in result) {
  console.log(JSON.stringify(result.initialResult));
  for await (const payload of result.subsequentResults) console.log(JSON.stringify(payload));
} else {
  console.log(JSON.stringify(result));
}
