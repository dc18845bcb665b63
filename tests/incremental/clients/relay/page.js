// The operations that relay-compiler compiles for relay.mjs.
import { graphql } from "relay-runtime";

export const fragment = graphql`
  fragment page_bill on User {
    plan
    balance {
      amount
    }
  }
`;

export const query = graphql`
  query pageQuery($id: ID!) {
    user(id: $id) {
      username
      ...page_bill @defer
    }
  }
`;
