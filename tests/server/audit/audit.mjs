/**
 * Audits the server at the address of the first argument, and prints what came of each audit:
 * `[{ id, name, status, reason }]`, where status is `ok`, `notice` (MAY), `warn` (SHOULD) or
 * `error` (MUST).
 */
import { auditServer } from 'graphql-http';

const results = await auditServer({ url: process.argv[2] });
const told = results.map(({ id, name, status, reason }) => ({ id, name, status, reason }));
console.log(JSON.stringify(told));
