import { useQuery } from "@apollo/client/react";
import { useEffect, useRef, useState } from "react";
import { dayText, moneyText } from "./format";
import { graphql } from "./gql";
import type { User } from "./UsersTable";

const invoicesQuery = graphql(`
  query Invoices($id: ID!, $first: Int!, $after: String) {
    user(id: $id) {
      id
      invoices(first: $first, after: $after) {
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
  }
`);

const PAGE = 5;

interface Props {
  user: User;
  onClose: () => void;
}

/** Shows the invoices of a user page by page, above the users. */
export function InvoicesDialog({ user, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  // The browser moves the focus into a modal dialog, keeps it there, and gives it back at the end.
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="invoices-title" onClose={onClose}>
      <header>
        <h2 id="invoices-title">Invoices of {user.displayName ?? user.username ?? user.id}</h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      <Invoices id={user.id} />
    </dialog>
  );
}

function Invoices({ id }: { id: string }) {
  const variables = { id, first: PAGE };
  const { data, error, loading, fetchMore, refetch } = useQuery(invoicesQuery, { variables });
  const [problem, setProblem] = useState<string>();
  const invoices = data?.user?.invoices;

  async function showMore() {
    // The pages that are there stay when the next one fails.
    const variables = { after: invoices?.pageInfo.endCursor ?? null };
    const more = await fetchMore({ variables, errorPolicy: "all" });
    setProblem(more.error?.message);
  }

  const message = problem ?? error?.message;
  return (
    <>
      {invoices && invoices.edges.length > 0 && (
        <table aria-label="Invoices" aria-busy={loading}>
          <thead>
            <tr>
              <th scope="col">Number</th>
              <th scope="col">Issued</th>
              <th scope="col">Status</th>
              <th scope="col">Total</th>
            </tr>
          </thead>
          <tbody>
            {invoices.edges.map(({ node }) => (
              <tr key={node.id}>
                <th scope="row">{node.number}</th>
                <td>{dayText(node.issuedAt)}</td>
                <td>{node.status}</td>
                <td>{moneyText(node.total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div role="status">
        {loading && <p className="empty">Loading …</p>}
        {!loading && message && <p className="notice">{message}</p>}
        {!loading && !message && !invoices?.edges.length && (
          <p className="empty">There are no invoices.</p>
        )}
      </div>
      {!loading && !invoices && message && (
        <button type="button" onClick={() => void refetch()}>
          Try again
        </button>
      )}
      {invoices?.pageInfo.hasNextPage && (
        <button type="button" onClick={() => void showMore()} disabled={loading}>
          Show more
        </button>
      )}
    </>
  );
}
