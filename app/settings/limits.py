"""Settings of the limits of documents, operations and callers.

Each limit of a document or operation is on by default, and 0 switches it off.
"""

from typing import Literal

from pydantic import Field

from app.settings.base import SettingsModel

MEBIBYTE = 1_048_576
MOST_BYTES = 1_073_741_824


class RateSettings(SettingsModel):
    """The rate limit: the cost of all operations of one caller over time."""

    enabled: bool = Field(
        default=True,
        description="Whether the rate of each caller is limited. A caller is a user, by the token,"
        " or an address if there is no token.",
    )
    quota: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Cost that a caller may use in `window`, all of it at once, too. The default is"
        " enough for thousands of pages a minute. Raise it if many people share one address.",
    )
    window: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Whole seconds in which the quota is refilled, at a constant rate.",
    )
    max_callers: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of callers that are remembered. The caller whose last request"
        " is oldest is forgotten first.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Number of proxies in front of the gateway that each add the address of their"
        " client to `X-Forwarded-For`. With 0 the gateway ignores that header.",
    )


class MemorySettings(SettingsModel):
    """The memory for caches of clients' documents and of users, in each process.

    The sizes are estimates, within a factor of two of the memory that Python needs.
    """

    documents: int = Field(
        default=32 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Maximum number of bytes of memory for parsed documents, of which at most"
        " `document_cache` are kept; a document of usual length needs 30,000. Documents of a"
        " router have as much memory again. 0 keeps none.",
    )
    compiled: int = Field(
        default=32 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Maximum number of bytes of memory for compiled operations. Each operation is"
        " compiled once for every combination of its switches (`@include`, `@skip`). 0 keeps none.",
    )
    persisted: int = Field(
        default=16 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Maximum number of bytes of memory for the texts of persisted queries, of"
        " which at most `persisted.max_documents` are kept. 0 keeps none.",
    )
    kept_users: int = Field(
        default=16 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Maximum number of bytes of memory for the JSON of users whose records are"
        " cached, with these records. A user of ten fields needs 3,000. 0 keeps none.",
    )


class LimitsSettings(SettingsModel):
    """The limits of documents, of operations and their variables, and of callers."""

    document_bytes: int = Field(
        default=65_536,
        ge=0,
        description="Maximum number of bytes of a document. Here and in the limits below, 0 means"
        " no limit.",
    )
    tokens: int = Field(
        default=2_000,
        ge=0,
        description="Maximum number of tokens of a document, and of its lines.",
    )
    depth: int = Field(
        default=10,
        ge=0,
        description="Maximum number of levels of fields in an operation; fields below `__schema`"
        " and `__type` do not count.",
    )
    aliases: int = Field(
        default=50,
        ge=0,
        description="Maximum number of aliases of an operation; those of a fragment count once for"
        " each spread.",
    )
    root_fields: int = Field(
        default=20,
        ge=0,
        description="Maximum number of root fields (fields of `Query`) of an operation.",
    )
    directives: int = Field(
        default=50,
        ge=0,
        description="Maximum number of directives of an operation; those of a fragment count once"
        " for each spread.",
    )
    operations: int = Field(
        default=20,
        ge=0,
        description="Maximum number of operations in one document. Only one is executed.",
    )
    cost: int = Field(
        default=5_000,
        ge=0,
        description="Highest cost of an operation, computed from `@cost` and `@listSize` in the"
        " schema: about the number of objects in the response.",
    )
    introspection: int = Field(
        default=2,
        ge=0,
        le=100,
        description="How many times an operation may request the whole schema; the introspection"
        " query of tools requests it once. Introspection does not count in `cost`.",
    )
    variables_bytes: int = Field(
        default=262_144,
        ge=0,
        description="Maximum number of bytes of the values of all variables, as JSON.",
    )
    variables_values: int = Field(
        default=10_000,
        ge=0,
        description="Maximum number of values in all variables: each list, each object, and each"
        " value in them.",
    )
    variables_depth: int = Field(
        default=10,
        ge=0,
        description="Maximum number of levels of lists and objects in the values of variables.",
    )
    report: Literal["never", "asked", "always"] = Field(
        default="never",
        description="Whether responses report the cost of their operation; `asked`: if the request"
        " has `X-Gateway-Cost: 1`.",
    )
    rate: RateSettings = Field(
        default=RateSettings(), description="The cost that a caller may use over time."
    )
    memory: MemorySettings = Field(
        default=MemorySettings(), description="The memory for caches of documents."
    )
