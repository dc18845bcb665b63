/** A second subgraph: reviews, whose authors are users of the gateway under test. */
import { createServer } from 'node:http';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { graphql, parse } from 'graphql';

export const SDL = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])

  type Query {
    "As many reviews, each by another author: the users 1, 2, 3 and so on."
    reviews(first: Int!): [Review!]!
  }

  type Review {
    text: String!
    author: User
  }

  type User @key(fields: "id") {
    id: ID!
    reviews: Int!
  }
`;

const idOf = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

const schema = buildSubgraphSchema({
  typeDefs: parse(SDL),
  resolvers: {
    Query: {
      reviews: (_, { first }) =>
        Array.from({ length: first }, (_, index) => ({
          text: `Review ${index + 1}`,
          author: { __typename: 'User', id: idOf(index + 1) },
        })),
    },
    User: { __resolveReference: ({ id }) => ({ id }), reviews: ({ id }) => Number(id.slice(-3)) },
  },
});

/** Serves the subgraph on a free port, and returns its address. */
export async function serveReviews() {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { query, variables, operationName } = JSON.parse(body);
    const result = await graphql({
      schema,
      source: query,
      variableValues: variables,
      operationName,
    });
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(result));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}/`;
}
