"""What a query may cost, as settings. Each limit is on by default, and 0 switches it off."""

from typing import Literal

from pydantic import Field

from app.settings.base import SettingsModel

MEBIBYTE = 1_048_576
MOST_BYTES = 1_073_741_824


class RateSettings(SettingsModel):
    """How much a caller may ask for in a while."""

    enabled: bool = Field(
        default=True,
        description="Whether callers are limited. A caller is the user that its token names, else"
        " an address.",
    )
    quota: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Cost that a caller may spend in `window`, all at once if it likes. The default"
        " is thousands of pages a minute: raise it where one address is many people.",
    )
    window: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Whole seconds in which what was spent comes back, bit by bit.",
    )
    max_callers: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Callers that are remembered; those who were not seen for longest are forgotten"
        " first.",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Proxies in front of the gateway that each add to `X-Forwarded-For` whom they"
        " were called by. With 0 that header is not believed.",
    )


class MemorySettings(SettingsModel):
    """How much memory what is kept of clients' documents may take, in each process.

    The sizes are estimates, within a factor of two of what Python needs.
    """

    documents: int = Field(
        default=32 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Bytes that parsed documents may have in memory, at most `document_cache` of"
        " them; a document of the usual length has 30,000. The same again for a router's. 0 keeps"
        " none.",
    )
    compiled: int = Field(
        default=32 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Bytes that compiled operations may have in memory: each is compiled once for"
        " every combination of its switches. 0 keeps none.",
    )
    persisted: int = Field(
        default=16 * MEBIBYTE,
        ge=0,
        le=MOST_BYTES,
        description="Bytes that the texts of persisted queries may have in memory, at most"
        " `persisted.max_documents` of them. 0 keeps none.",
    )


class LimitsSettings(SettingsModel):
    """What a query may cost."""

    document_bytes: int = Field(
        default=65_536, ge=0, description="Longest document; 0 for no limit, as with all of these."
    )
    tokens: int = Field(
        default=2_000,
        ge=0,
        description="Most tokens of a document, and most lines.",
    )
    depth: int = Field(
        default=10,
        ge=0,
        description="Deepest fields of an operation; below `__schema` and `__type` none are"
        " counted.",
    )
    aliases: int = Field(
        default=50,
        ge=0,
        description="Most aliases of an operation, those of a fragment as often as it is spread.",
    )
    root_fields: int = Field(
        default=20, ge=0, description="Most fields that an operation selects of `Query`."
    )
    directives: int = Field(
        default=50,
        ge=0,
        description="Most directives of an operation, those of a fragment as often as it is"
        " spread.",
    )
    operations: int = Field(
        default=20, ge=0, description="Most operations in one document, of which one is run."
    )
    cost: int = Field(
        default=5_000,
        ge=0,
        description="Highest cost of an operation, by `@cost` and `@listSize` of the schema; about"
        " the number of objects that it asks for.",
    )
    introspection: int = Field(
        default=2,
        ge=0,
        le=100,
        description="How many times over an operation may ask for the whole schema, as the"
        " introspection query of tools does once. Introspection is no part of `cost`.",
    )
    variables_bytes: int = Field(
        default=262_144, ge=0, description="Longest values of all variables, as JSON."
    )
    variables_values: int = Field(
        default=10_000,
        ge=0,
        description="Most values in all variables: each list, each object, and each value in them.",
    )
    variables_depth: int = Field(
        default=10, ge=0, description="Deepest lists and objects in the values of variables."
    )
    report: Literal["never", "asked", "always"] = Field(
        default="never",
        description="Whether answers tell what their operation costs; `asked`: where the request"
        " has `X-Gateway-Cost: 1`.",
    )
    rate: RateSettings = Field(
        default=RateSettings(), description="How much a caller may ask for in a while."
    )
    memory: MemorySettings = Field(
        default=MemorySettings(), description="How much memory what is kept of documents may take."
    )
