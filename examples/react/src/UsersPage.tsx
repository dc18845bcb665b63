import { useQuery } from "@apollo/client/react";
import { useState } from "react";
import { failuresOf } from "./failures";
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
  const failures = failuresOf(error);
  const rows = data && rowsOf(data);
  const tryAgain = () => void refetch();

  return (
    <main>
      <header>
        <h1>Users</h1>
        <p>Names, payments and activity come from three services. Each is shown once it is there.</p>
      </header>
      {rows || !error ? (
        <>
          <Sources rows={rows} failures={failures} loading={loading} onRetry={tryAgain} />
          <UsersTable rows={rows} failures={failures} loading={loading} onChoose={choose} />
        </>
      ) : (
        <RequestFailed failures={failures} onRetry={tryAgain} />
      )}
      {chosen && <InvoicesDialog user={chosen} onClose={() => choose(undefined)} />}
    </main>
  );
}
