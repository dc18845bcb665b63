"""Documents that are made to be dear: what attackers of GraphQL servers send.

They can be of any length: those that fit into the limits are as interesting as those that do not.
"""

from collections.abc import Callable, Iterator, Mapping

LONGEST = 1_000_000
"""About the longest document that a body has room for, in bytes."""

SIZES = (1_000, 3_000, 6_000, 20_000, 60_000, LONGEST)
"""The sizes to try."""


def _fields(fields: str) -> str:
    """Select fields of a user."""
    return f'{{ user(id: "x") {{ {fields} }} }}'


def _many(write: Callable[[int], str], count: int) -> str:
    """Write something for each number."""
    return " ".join(map(write, range(count)))


def _fragments(count: int, body: Callable[[int], str]) -> str:
    """Write fragments on a user."""
    return _many(lambda n: f"fragment F{n} on User {{ {body(n)} }}", count)


def documents(size: int) -> Mapping[str, str]:
    """Write a document of each kind.

    Args:
        size: How long they are, in bytes, more or less.

    Returns:
        The documents, by what they consist of.
    """
    return dict(_documents(size))


def _documents(size: int) -> Iterator[tuple[str, str]]:
    """Write a document of each kind."""
    yield "one field again and again", _fields("id " * (size // 3))
    yield "one object again and again", _fields("balance{amount} " * (size // 16))
    yield "one root field again and again", "{" + 'user(id:"x"){id} ' * (size // 17) + "}"
    yield "many aliases", _fields(_many(lambda n: f"a{n}:id", size // 9))
    yield "fields that are not there", _fields(_many(lambda n: f"no{n}", size // 8))
    yield "fields in conflict", _fields("x:id x:plan " * (size // 12))
    yield "lines and errors", "\n" * max(0, size - 1_500) + _fields(_many(lambda n: f"no{n}", 200))
    yield "lines and conflicts", "\n" * max(0, size - 900) + _fields("x:id x:plan " * 70)
    yield "comments", "#\n" * (size // 2) + "{ __typename }"
    yield "blanks", " " * size + "{ __typename }"
    yield "brackets in a value", "{ users(ids: " + "[" * size + ") { id } }"
    yield "objects in a value", "{ users(ids: " + "{a:" * (size // 3) + ") { id } }"
    yield "a long list", "{ users(ids: [" + "1 " * (size // 2) + "]) { id } }"
    yield "braces", "{ a " * (size // 4)
    yield "inline fragments", _fields("... { " * (size // 6))
    yield "types in types", "query($v: " + "[" * size + ") { __typename }"
    yield "many variables", f"query({_many(lambda n: f'$v{n}: ID', size // 12)}) {{ __typename }}"
    yield "many directives", "{ __typename" + " @skip(if: false)" * (size // 17) + " }"
    yield "unknown directives", "{ __typename" + " @a" * (size // 3) + " }"
    yield "many operations", _many(lambda n: f"query A{n} {{ __typename }}", size // 28)
    yield "a long string", f'{{ user(id: "{"x" * size}") {{ id }} }}'
    yield "escapes", '{ user(id: "' + "\\u0041" * (size // 6) + '") { id } }'
    yield "a block string", '{ user(id: """' + "\n x" * (size // 3) + '""") { id } }'
    yield "a long number", f"{{ user(id: {'1' * size}) {{ id }} }}"
    yield "a long number as a page", _fields(f"events(first: {'9' * size}) {{ id }}")
    yield "a long name", "{ " + "a" * size + " }"
    yield "long names", "{ " + _many(lambda n: f"{'a' * 600}{n}", size // 604) + " }"
    yield (
        "fragments in a ring",
        _fields("...F0") + _fragments(size // 40, lambda n: f"...F{(n + 1) % (size // 40)}"),
    )
    yield (
        "fragments that double",
        _fields("...F0") + _fragments(size // 60, lambda n: f"...F{n + 1} ...F{n + 1} a{n}:id"),
    )
    yield (
        "fragments of all fragments",
        _fields("...F0")
        + _fragments(
            int((size / 6) ** 0.5), lambda _: _many(lambda n: f"...F{n}", int((size / 6) ** 0.5))
        ),
    )
    yield (
        "many fragments",
        _fields(_many(lambda n: f"...F{n}", size // 40)) + _fragments(size // 40, lambda _: "id"),
    )
    yield (
        "operations with one fragment",
        _many(lambda n: f"query A{n}($a:ID!) {{ ...F }}", size // 60)
        + " fragment F on Query { users(ids: ["
        + "$a " * (size // 6)
        + "]) { id } }",
    )
    yield (
        "deep introspection",
        "{ __schema { types { fields { "
        + ("type { fields { " * (size // 20))
        + "name"
        + " } }" * (size // 20)
        + " } } } }",
    )
    yield (
        "wide introspection",
        "{ __schema { types {"
        + _many(lambda n: f"a{n}: fields {{ type {{ fields {{ name }} }} }}", size // 45)
        + "} } }",
    )
