import type { ReactNode } from "react";
import type { Failures } from "./failures";
import { capitalized, dayText, moneyText, statusText } from "./format";
import type { UsersQuery } from "./gql/graphql";

export type User = NonNullable<UsersQuery["users"][number]>;

/** A user, and its position in the answer, by which errors name it. */
export interface Row {
  user: User;
  position: number;
}

/** The users of an answer. Those that no source knows are null there, and left out here. */
export function rowsOf(data: UsersQuery): Row[] | undefined {
  // Null although the schema says `[User]!`: by default, null stands where the error is.
  const users = data.users as UsersQuery["users"] | null;
  return users?.flatMap((user, position) => (user ? [{ user, position }] : []));
}

/** Whether the answer that is on its way may have another value than this one. */
export function isPending({ user, position }: Row, field: keyof User, retried?: Failures): boolean {
  // Null is what the failure has left: the cache keeps it until the new value is there.
  return user[field] === undefined || (user[field] === null && !!retried?.has(position, field));
}

const COLUMNS = ["Name", "Plan", "Status", "Balance", "Last seen", "Invoices"];
const SKELETON_ROWS = 12;

interface Props {
  rows: Row[] | undefined;
  failures: Failures;
  /** What failed in the answer before, if the query is being repeated. */
  retried: Failures | undefined;
  loading: boolean;
  onChoose: (user: User) => void;
}

/**
 * Shows a row for each user.
 *
 * The roles repeat what the elements mean: a browser forgets it where the style sheet makes a
 * table of two-line rows for narrow windows.
 */
export function UsersTable({ rows, failures, retried, loading, onChoose }: Props) {
  if (rows?.length === 0) return <p className="empty">There are no users with these ids.</p>;
  return (
    <table className="users" role="table" aria-label="Users" aria-busy={loading}>
      <thead role="rowgroup">
        <tr role="row">
          {COLUMNS.map((title) => (
            <th key={title} role="columnheader" scope="col" data-column={title}>
              {/* The buttons below say the same. */}
              <span className={title === "Invoices" ? "hidden" : undefined}>{title}</span>
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows?.map((row) => (
          <UserRow
            key={row.position}
            row={row}
            failures={failures}
            retried={retried}
            loading={loading}
            onChoose={onChoose}
          />
        )) ?? Array.from({ length: SKELETON_ROWS }, (_, index) => <SkeletonRow key={index} />)}
      </tbody>
    </table>
  );
}

interface RowProps extends Omit<Props, "rows"> {
  row: Row;
}

function UserRow({ row, failures, retried, loading, onChoose }: RowProps) {
  const { user, position } = row;
  const fails = (field: string) => failures.has(position, field);
  const name = user.displayName ?? user.username;
  const billingFailed = ["plan", "billingStatus", "balance"].every(fails);

  /** Shows a value, or why there is none. */
  function shown<F extends keyof User>(
    field: F,
    source: string,
    show: (value: NonNullable<User[F]>) => ReactNode,
  ): ReactNode {
    const value = user[field];
    if (fails(field)) return <Unavailable source={source} />;
    if (loading && isPending(row, field, retried)) return <Skeleton />;
    // The connection was lost before the payload with this field.
    if (value === undefined) return <span className="none">Not loaded</span>;
    return value === null ? <span className="none">None</span> : show(value);
  }

  return (
    <tr role="row">
      <th role="rowheader" scope="row" data-column="Name">
        {shown("displayName", "profile", (name) => name)}
        {user.username && <small>{user.username}</small>}
      </th>
      {billingFailed ? (
        <td role="cell" data-column="Billing" colSpan={3}>
          <Unavailable source="billing" />
        </td>
      ) : (
        <>
          <td role="cell" data-column="Plan">
            {shown("plan", "billing", capitalized)}
          </td>
          <td role="cell" data-column="Status">
            {shown("billingStatus", "billing", (status) => (
              <span className="badge" data-status={status}>
                {statusText(status)}
              </span>
            ))}
          </td>
          <td role="cell" data-column="Balance">
            {shown("balance", "billing", moneyText)}
          </td>
        </>
      )}
      <td role="cell" data-column="Last seen">
        {shown("lastSeenAt", "activity", dayText)}
      </td>
      <td role="cell" data-column="Invoices">
        <button
          type="button"
          aria-label={`Invoices of ${name ?? user.id}`}
          onClick={() => onChoose(user)}
        >
          Invoices
        </button>
      </td>
    </tr>
  );
}

function SkeletonRow() {
  return (
    <tr role="row">
      {COLUMNS.map((column) => (
        <td key={column} role="cell" data-column={column}>
          <Skeleton />
        </td>
      ))}
    </tr>
  );
}

/** Keeps the place of a value that is not there yet. `aria-busy` of the table says so in words. */
function Skeleton() {
  return <span className="skeleton" aria-hidden="true" />;
}

function Unavailable({ source }: { source: string }) {
  return <span className="unavailable">{capitalized(source)} is unavailable</span>;
}
