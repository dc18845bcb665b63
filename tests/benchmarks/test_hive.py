"""The supergraph of Hive Gateway."""

from benchmarks.hive import with_ids

COMPOSED = """\
type Query {
  billingAccounts(ids: [String]) : [User] @httpOperation(path: "/billing/accounts")
  user(id: String!) : User @httpOperation(path: "/profile/users/{args.id}")
}
type User {
  id: String! @source(name: "userId", type: "String!", subgraph: "activity")
  plan: String
}
type Event {
  id: String
}
"""


def test_ids_have_the_type_id_as_in_other_peers() -> None:
    found = with_ids(COMPOSED)

    assert "billingAccounts(ids: [ID!]!) :" in found
    assert "user(id: ID!) :" in found
    assert 'id: ID! @source(name: "userId", type: "ID!", subgraph: "activity")' in found


def test_other_types_and_fields_do_not_change() -> None:
    found = with_ids(COMPOSED).splitlines()

    assert found[6:] == COMPOSED.splitlines()[6:]
    assert "  plan: String" in found
