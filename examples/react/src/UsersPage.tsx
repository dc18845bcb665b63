import { useQuery } from "@apollo/client/react";
import { useState } from "react";
import { failuresOf, type Failures } from "./failures";
import { graphql } from "./gql";
import { InvoicesDialog } from "./InvoicesDialog";
import { RequestFailed } from "./RequestFailed";
import { Sources } from "./Sources";
import { rowsOf, UsersTable, type User } from "./UsersTable";

// The first payload waits for profile alone. Billing and activity come when they are there.
const usersQuery = graphql(`
  query Users($ids: [ID!]!) {
    users(ids: $ids) {
      id
      username
      displayName
      ... @defer(label: "billing") {
        plan
        billingStatus
        balance {
          amount
          currency
        }
      }
      ... @defer(label: "activity") {
        lastSeenAt
      }
    }
  }
`);

/** Shows the users with these ids, and what is missing beside what is there. */
export function UsersPage({ ids }: { ids: string[] }) {
  const { data, error, loading, refetch } = useQuery(usersQuery, { variables: { ids } });
  const [chosen, choose] = useState<User>();
  const [retried, setRetried] = useState<Failures>();
  const failures = failuresOf(error);
  const rows = data && rowsOf(data);
  const shown = { rows, failures, retried: loading ? retried : undefined, loading };

  function tryAgain() {
    // Apollo Client forgets the errors as soon as it repeats the query.
    setRetried(failures);
    void refetch();
  }

  return (
    <main>
      <header>
        <h1>Users</h1>
        <p>Names, payments and activity come from three services. Each is shown once it is there.</p>
      </header>
      {rows || !error ? (
        <>
          <Sources {...shown} onRetry={tryAgain} />
          <UsersTable {...shown} onChoose={choose} />
        </>
      ) : (
        <RequestFailed failures={failures} onRetry={tryAgain} />
      )}
      {chosen && <InvoicesDialog user={chosen} onClose={() => choose(undefined)} />}
    </main>
  );
}
