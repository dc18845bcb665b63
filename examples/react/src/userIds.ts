const FIRST_USERS = 50;

/** Ids of the users to show: those after `?ids=`, or the first fifty of the demo. */
export function idsOf(location: Location): string[] {
  const asked = new URLSearchParams(location.search).get("ids");
  if (asked !== null) return asked.split(",").filter((id) => id !== "");
  return Array.from(
    { length: FIRST_USERS },
    (_, index) => `00000000-0000-4000-8000-${String(index + 1).padStart(12, "0")}`,
  );
}
