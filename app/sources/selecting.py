"""Asking a service for no more fields of its rows than are wanted.

For each set of fields there is a question and a record of its own, made when it is first wanted:
a source as any other, of a part of the fields.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import SourceError
from app.sources.base import Call, FieldSet, Record, UserId
from app.sources.client import ServiceClient
from app.sources.decoding import DecoderFactory, validating_decoder
from app.sources.endpoint import Endpoint
from app.sources.rest import RestSource
from app.sources.seen import See
from app.sources.selector import Selector

R = TypeVar("R", bound=Record)

MAX_FIELD_SETS = 256
"""How many sets of fields of one source are kept ready: all there are of eight fields."""


class SelectingSource(Generic[R]):
    """A source that is asked for no more fields than are wanted (``Call.fields``). A ``Source``."""

    def __init__(
        self,
        endpoint: Endpoint[R],
        client: ServiceClient,
        log: FilteringBoundLogger,
        foreign_keys: Mapping[str, str] | None = None,
        *,
        see: See | None = None,
        fold_case: bool = False,
        decoders: DecoderFactory = validating_decoder,
    ) -> None:
        self._name = endpoint.spec.name
        selector = Selector(endpoint, foreign_keys)

        def narrowed(fields: FieldSet | None) -> RestSource[R]:
            one = selector.narrowed(fields)
            asking = client.endpoint(one.spec.name, one.settings)
            return RestSource(
                one.spec,
                asking,
                log,
                foreign_keys,
                see=see,
                fold_case=fold_case,
                decoders=decoders,
            )

        self._narrowed = lru_cache(MAX_FIELD_SETS)(narrowed)

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        return self._name

    async def fetch_many(
        self, keys: Sequence[UserId], call: Call
    ) -> Sequence[R | SourceError | None]:
        """Fetch the wanted fields of each user.

        Args:
            keys: Users, each once.
            call: What of the incoming request goes on; its ``fields`` are what is wanted.

        Returns:
            One answer a key, in the order of the keys; records have these fields and the key.
        """
        return await self._narrowed(call.fields).fetch_many(keys, call)
