"""Names of operations as values of an attribute. Their number is bounded."""

OTHER = "other"
"""Stands for all names beyond the limit."""

LONGEST = 100
"""Most characters of a name that is shown."""


class OperationNames:
    """Chooses the names of operations that metrics show.

    A client chooses the name of its operation, so it could make any number of them. Trusted
    documents keep their names, because the operator has provided them.

    Args:
        limit: How many names of other documents are shown: those that come first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()
        self._trusted: set[str] = set()

    def shown(self, name: str | None, *, trusted: bool) -> str:
        """Return the value of the attribute for an operation.

        Args:
            name: The name of the operation; ``None`` if it has none.
            trusted: Whether the operator has provided its document.

        Returns:
            The name, ``other``, or an empty text for no name.
        """
        if name is None:
            return ""
        if name in self._seen or name in self._trusted:
            return name
        if len(name) > LONGEST:
            return OTHER
        if trusted:
            self._trusted.add(name)
        elif len(self._seen) < self._limit:
            self._seen.add(name)
        else:
            return OTHER
        return name
