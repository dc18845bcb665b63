import type { BillingStatus } from "./gql/graphql";

interface Money {
  amount: number;
  currency: string;
}

/** Writes an amount, which is in the minor unit of its currency, as people read it. */
export function moneyText({ amount, currency }: Money): string {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  // Cents for EUR, whole yen for JPY.
  const digits = format.resolvedOptions().maximumFractionDigits ?? 0;
  return format.format(amount / 10 ** digits);
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Writes the day of a moment. */
export function dayText(moment: string): string {
  return DAY.format(new Date(moment));
}

// A record and no lookup by strings: the compiler finds a status that is missing here.
const STATUS_TEXT: Record<BillingStatus, string> = {
  ACTIVE: "Active",
  TRIALING: "Trial",
  PAST_DUE: "Past due",
  CANCELLED: "Cancelled",
  UNKNOWN: "Unknown",
};

/** Writes the state of a subscription. */
export function statusText(status: BillingStatus): string {
  return STATUS_TEXT[status];
}

/** Writes a word with its first letter in upper case. */
export function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
