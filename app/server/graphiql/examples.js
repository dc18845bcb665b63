/**
 * The queries that GraphiQL opens with, one a tab, for the ids that `user-gateway demo` serves.
 */

/** The demo's nth id, n from 1 to 1000. */
const id = n => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

const example = (query, variables) => ({
  query: query.trim() + '\n',
  variables: JSON.stringify(variables, null, 2),
});

export const examples = [
  example(
    `
# One user, merged from three services.
query OneUser($id: ID!) {
  user(id: $id) {
    id
    username
    displayName
    email
    plan
    billingStatus
    balance {
      amount
      currency
    }
    lastSeenAt
    loginCount
    events(first: 3) {
      type
      occurredAt
    }
  }
}`,
    { id: id(1) },
  ),
  example(
    `
# Fifty users: still one call to each service.
query FiftyUsers($ids: [ID!]!) {
  users(ids: $ids) {
    id
    displayName
    plan
    balance {
      amount
      currency
    }
    lastSeenAt
  }
}`,
    { ids: Array.from({ length: 50 }, (_, index) => id(index + 1)) },
  ),
  example(
    `
# Profile fields only: no other service is called.
query ProfileOnly($id: ID!) {
  user(id: $id) {
    username
    displayName
    email
    avatarUrl
    locale
    createdAt
  }
}`,
    { id: id(2) },
  ),
  example(
    `
# Invoices in pages: put endCursor into "after".
query InvoicePages($id: ID!, $after: String) {
  user(id: $id) {
    displayName
    invoices(first: 5, after: $after) {
      edges {
        cursor
        node {
          id
          number
          status
          issuedAt
          total {
            amount
            currency
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
}`,
    { id: id(1), after: null },
  ),
  example(
    `
# Billing is called only if "billing" is true.
query MaybeBilling($id: ID!, $billing: Boolean!) {
  user(id: $id) {
    displayName
    ... @include(if: $billing) {
      plan
      billingStatus
      renewsAt
    }
  }
}`,
    { id: id(3), billing: false },
  ),
  example(
    `
# As a federation router asks: entities by key.
query Entities($representations: [_Any!]!) {
  _entities(representations: $representations) {
    ... on User {
      id
      displayName
      plan
    }
  }
}`,
    { representations: [1, 2, 3].map(n => ({ __typename: 'User', id: id(n) })) },
  ),
];
