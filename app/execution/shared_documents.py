"""Documents that clients have sent, in the shared store: one gateway knows what another was sent.

The key of a document is ``<prefix>:d:<SHA-256>``, and its value is its text. A gateway computes the
hash again when it reads a document. So the store cannot give a client another document than the one
that the client has named.
"""

import hashlib
import re

from app.execution.documents import MAX_CACHED
from app.observability.metrics import Counter
from app.store.contract import StoredValue, StoreFailure
from app.store.shared import SharedStore

KEPT_FOR = 86_400_000
"""Milliseconds for which a document is kept. A client sends it again after that."""

_HASH = re.compile("[0-9a-f]{64}")


class SharedDocuments:
    """The documents in the shared store.

    Args:
        store: The store.
        lookups: Counts the documents that are looked up.
    """

    def __init__(self, store: SharedStore, lookups: Counter) -> None:
        self._store = store
        self._lookups = lookups
        self._prefix = f"{store.settings.prefix}:d:"

    def may_have(self, name: str) -> bool:
        """Return whether a document is worth a look-up.

        Args:
            name: The name that a client sent.

        Returns:
            Whether it is a hash, and the store would be asked now.
        """
        return self._store.is_usable and _HASH.fullmatch(name) is not None

    async def get(self, name: str) -> str | None:
        """Find a document.

        Args:
            name: Its hash.

        Returns:
            Its text; ``None`` if the store does not have it, or does not answer in time.
        """
        key = self._prefix + name
        answer = await self._store.run("document", lambda client: client.get_many([key]))
        if isinstance(answer, StoreFailure):
            self._lookups.add(1, "", "unavailable")
            return None
        value = answer[0]
        if value is None:
            self._lookups.add(1, "", "miss")
            return None
        if hashlib.sha256(value).hexdigest() != name:
            self._lookups.add(1, "", "unreadable")
            return None
        self._lookups.add(1, "", "hit")
        return value.decode()

    def put(self, name: str, text: str) -> None:
        """Keep a document, without waiting for it.

        Args:
            name: Its hash.
            text: Its text.
        """
        if len(text) <= MAX_CACHED:
            self._store.writes.add([StoredValue(self._prefix + name, text.encode(), KEPT_FOR)])
