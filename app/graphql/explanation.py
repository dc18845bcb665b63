"""What an operation would ask of the sources, as data: the answer of ``explain.py``.

Its names are public: they stand in ``extensions.explain`` and in what the command line prints.
"""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Told(BaseModel):
    """Base of all parts of an explanation."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class SourceReading(_Told):
    """One source that a field of the operation needs."""

    source: str = Field(description="Name of the source, or of its endpoint.")
    fields: tuple[str, ...] = Field(
        description="The selected fields that read it, each once; none where it is asked only"
        " whether the user exists, or only for keys."
    )
    keys_of: tuple[str, ...] = Field(
        description="The other needed sources whose keys it has: they are asked after it."
    )
    for_keys_only: bool = Field(
        description="Whether it is asked for no more than those keys. Then it does not count as"
        " asked: whether it knows a user says nothing of whether there is one."
    )


class FieldExplanation(_Told):
    """One field of the operation."""

    key: str = Field(description="Its key in the answer.")
    field: str = Field(description="Its name in the schema.")
    ids: int | None = Field(
        description="How many users are named; null where that is told at run time, where it is"
        " wrong, and where the field names none."
    )
    distinct_ids: int | None = Field(
        description="How many different ones those are, without the wrong ones."
    )
    missing_variables: tuple[str, ...] = Field(
        description="Variables without a value that name users: they are told at run time."
    )
    wrong: tuple[str, ...] = Field(description="What is wrong with the ids.")
    sources: tuple[SourceReading, ...] = Field(
        description="The sources that the selection needs, in the order of the schema."
    )
    existence_only: bool = Field(
        description="Whether no selected field reads a source, so that the one source is asked"
        " only whether the users exist."
    )
    sourceless: tuple[str, ...] = Field(
        description="The selected fields of users that read no source."
    )
    hidden: tuple[str, ...] = Field(
        description="The selected fields that the caller may not see of these users: no source is"
        " asked for them."
    )


class PagesExplanation(_Told):
    """The calls for one list that is read page by page."""

    path: str = Field(description="Where the list is asked for, below the source's base URL.")
    parameter: str = Field(description="The query parameter for the user.")
    calls: int | None = Field(
        description="Most pages that are asked for, by one call each: users that the source does"
        " not know cost none. Null where the number of users is told at run time."
    )
    at_a_time: int = Field(description="How many of those calls are made at the same time.")


class SourceExplanation(_Told):
    """What one source is asked for the whole operation."""

    name: str = Field(description="Name of the source, or of its endpoint: `billing.balance`.")
    form: str = Field(
        description="How users are written into a call: `repeat`, `list`, `filter`, `body` or"
        " `each`."
    )
    method: str = Field(description="The HTTP method.")
    path: str = Field(
        description="Where it is asked, below its base URL; `{key}` is where a user stands in it."
    )
    parameter: str | None = Field(
        description="The query parameter for the users; null where they are in the path or in the"
        " body."
    )
    key_from: str | None = Field(
        description="The source that has its keys, and is asked before it; null where users' ids"
        " are its keys."
    )
    selects: tuple[str, ...] | None = Field(
        description="The service's names of the fields that are asked for, the key's among them;"
        " null where it sends all it has."
    )
    keys: tuple[str, ...] = Field(
        description="The users it is asked about, each once, as far as they are known. None where"
        " its keys are another source's: they are told at run time."
    )
    not_written: tuple[str, ...] = Field(
        description="The users it cannot be asked about, since the form has no way to write their"
        " ids; they fail with `SOURCE_REJECTED`."
    )
    more_at_run_time: bool = Field(description="Whether others are told at run time.")
    batches: tuple[int, ...] | None = Field(
        description="How many users each call has, in the order of `keys`, when nothing is asked"
        " again and nothing comes from a cache or another request's calls. Where its keys are"
        " another source's, the most that may be: users without a key, and those who share one,"
        " make it fewer. Null where it is decided at run time."
    )
    calls: int | None = Field(description="How many calls those are.")
    pages: tuple[PagesExplanation, ...] = Field(
        description="The lists of the source that are read page by page, after those calls."
    )
    at_a_time: int = Field(
        description="How many of those calls are made at the same time, for one batch of users."
    )
    max_keys: int = Field(description="Most users in one call.")
    max_url_bytes: int = Field(description="Longest URL of one call, in bytes.")
    max_body_bytes: int | None = Field(
        description="Longest body of one call, in bytes; null where calls have none."
    )
    cached: bool = Field(description="Whether answers are kept, so that fewer calls may do.")


class Explanation(_Told):
    """What one operation would ask of the sources."""

    operation: str | None = Field(description="Name of the operation.")
    missing_variables: tuple[str, ...] = Field(
        description="Variables that have no value and no default, and that a run has to be given."
    )
    compiled: bool = Field(
        description="Whether its answer would be written straight from records, rather than by"
        " the resolvers."
    )
    interpreted_because: str | None = Field(description="Why it would not, if so.")
    fields: tuple[FieldExplanation, ...] = Field(description="Its fields, in their order.")
    sources: tuple[SourceExplanation, ...] = Field(
        description="The sources, all asked at the same time but those whose keys are another's."
        " Fields share their calls."
    )
    calls: int | None = Field(
        description="How many calls are made in all, at most. Null where it is decided at run time."
    )
    cost: int | None = Field(
        description="What it costs, by `@cost` and `@listSize` of the schema. Null where users are"
        " told at run time."
    )
    max_cost: int | None = Field(description="What it may cost; null where that has no limit.")
