"""Settings of the public schema: the fields of a user, and the objects and enums inside.

    [user.openTickets]
    source = "support"
    type = "Int"
    value = "stats.open"
    description = "How many of the user's tickets are open."
    may = "self or support:read"

Types are written in GraphQL's notation. ``app/schema/configured.py`` makes the schema of them, and
finds what does not fit together.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

from msgspec import Struct
from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from app.settings.base import FromFolder, SettingsModel
from app.settings.lists import ListSettings
from app.settings.request import RequestSettings
from app.settings.response import AnswerSettings, ExpressionText

PUBLIC_NAME = r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,127}"
"""A name (GraphQL specification, section 2.1.9). Those that begin with ``__`` are GraphQL's own."""

TYPE_NAME = r"[A-Za-z][_0-9A-Za-z]{0,127}"
"""The name of a type. Those that begin with ``_`` are federation's."""

_POLICY = r"(self or )?[!#-\[\]-~]+"
"""Who may see a field. A scope is a ``scope-token`` (RFC 6749, section 3.3)."""


_AUDIENCES = frozenset({"public", "self"})
"""The words that are no scopes. In capitals they are none either, since they are mistakes."""


_MODULE = r"([^\n]*/)?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
"""The name of a module, with or without the folder before it."""


def _check_module(name: str) -> str:
    """Check the name of a module."""
    if not re.fullmatch(_MODULE, name, re.ASCII):
        raise ValueError("expected the name of a Python module, such as acme_users")
    return name


def _check_name(name: str) -> str:
    """Check the public name of a field or of an enum's value."""
    if not re.fullmatch(PUBLIC_NAME, name):
        raise ValueError("expected letters, digits and _, with no digit and no __ first")
    return name


def _check_type_name(name: str) -> str:
    """Check the name of a type."""
    if not re.fullmatch(TYPE_NAME, name):
        raise ValueError("expected a name of GraphQL that begins with a letter, such as Agent")
    return name


def _check_policy(text: str) -> str:
    """Check who may see a field."""
    words = [one for one in text.split(" ") if one != one.lower() and one.lower() in _AUDIENCES]
    if words:
        raise ValueError(f'did you mean "{words[0].lower()}"?')
    if not re.fullmatch(_POLICY, text) or text in {"self or self", "self or public"}:
        raise ValueError('expected "public", "self", a scope, or "self or" and a scope')
    return text


PublicName: TypeAlias = Annotated[
    str,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": f"^{PUBLIC_NAME}$"}),
]
"""The name of a field of a user or of an object, or of an enum's value."""

TypeName: TypeAlias = Annotated[
    str,
    AfterValidator(_check_type_name),
    WithJsonSchema({"type": "string", "pattern": f"^{TYPE_NAME}$"}),
]
"""The name of an object or enum."""

ModuleText: TypeAlias = Annotated[
    str,
    AfterValidator(_check_module),
    WithJsonSchema({"type": "string", "pattern": f"^{_MODULE}$"}),
]
TypeText: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Description: TypeAlias = Annotated[str, Field(min_length=1, max_length=10_000)]
PolicyText: TypeAlias = Annotated[
    str,
    AfterValidator(_check_policy),
    WithJsonSchema({"type": "string", "pattern": f"^{_POLICY}$"}),
]
Word: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]

_TYPE = (
    "Type in GraphQL's notation: `String`, `Int`, `Float`, `Boolean`, `ID`, `DateTime`, `Date`,"
    " `SafeInt`, `URL`, `Money`, an object or an enum; `!` for never null, `[…]` for a list."
)
_ASSUMED_SIZE = (
    "For a list in the row: the number of items that the cost of a query assumes. The field then"
    " has the argument `first`."
)
_DEPRECATED = "Why clients should not use it any more. When absent, they may."


_USER_WORD = re.compile(r"\b(?:(?P<article>[Aa]) )?(?P<user>users?)\b")

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z_]+")
"""One word of a name: `HR` and `Person` of `HRPerson`."""


def _words(name: str) -> str:
    """Write a name as words of a sentence: ``team member`` for ``TeamMember``."""
    parts: Sequence[str] = _PART.findall(name)
    return " ".join(one if one.isupper() and len(one) > 1 else one.lower() for one in parts)


NODE_TYPE = "Node"
"""The interface of objects that a client can ask for by their id (GraphQL Global Object
Identification)."""

NODE, NODES = "node", "nodes"
"""The root fields with one and with several of these objects."""


class UserNames(Struct, frozen=True):
    """What the public schema calls users.

    Attributes:
        type: The type of a user.
        one: The root field with one user.
        several: The root field with several users.
        node: Whether users are also found as ``Node``, by the root fields ``node`` and ``nodes``.
    """

    type: str = "User"
    one: str = "user"
    several: str = "users"
    node: bool = True

    @property
    def roots(self) -> tuple[str, ...]:
        """The root fields that the gateway itself defines."""
        return (self.one, self.several, "me", *((NODE, NODES) if self.node else ()))

    def in_text(self, text: str) -> str:
        """Write a text of the gateway about users in the words of the schema.

        Args:
            text: The text: "A user, and all users."

        Returns:
            The text: "An employee, and all employees."
        """
        one = _words(self.type)
        several = f"{one}s" if self.several == f"{self.one}s" else _words(self.several)

        def written(found: re.Match[str]) -> str:
            word = several if found["user"] == "users" else one
            if not (article := found["article"]):
                return word
            return f"{article}{'n' if word[0] in 'aeioAEIO' else ''} {word}"

        return _USER_WORD.sub(written, text)


USER_NAMES = UserNames()
"""What the default schema calls users."""


class SchemaLookupSettings(SettingsModel):
    """Two root fields that find users by another unique key than their ids: one user, and several.

    The service is called first, and gives the ids of the users.
    """

    source: str = Field(
        max_length=64, description="Source that can be asked by the key.", examples=["profile"]
    )
    key: PublicName = Field(
        description="Name of the key, which is the argument of the root field.", examples=["email"]
    )
    keys: PublicName | None = Field(
        default=None,
        description="Name of several keys. By default it is that of the key, and `s`.",
        examples=["emails"],
    )
    several: PublicName | None = Field(
        default=None,
        description="Name of the root field with several users. By default it is made of the name"
        " of the one with one user: `usersByEmails` of `userByEmail`.",
        examples=["usersByEmails"],
    )
    type: Literal["String", "ID"] = Field(default="String", description="Type of the key.")
    request: RequestSettings = Field(description="How a request names the keys.")
    answer: AnswerSettings | None = Field(
        default=None,
        description="How its answers are read. `answer.key` is the path of the key in a row.",
    )
    value: ExpressionText = Field(
        default="id", description="Expression (JMESPath) that reads the user's id from a row."
    )
    description: Description = Field(
        description="Description of the root field in the schema.",
        examples=["The user with this mail address."],
    )
    may: PolicyText = Field(
        description="Who may find users by the key: `public` (every caller) or a scope.",
        examples=["profile:read"],
    )

    @model_validator(mode="after")
    def _may_is_of_callers(self) -> Self:
        """Require a policy that does not depend on the user, who is not known before.

        Raises:
            ValueError: It does.
        """
        if self.may == "self" or self.may.startswith("self or "):
            raise ValueError('expected "public" or a scope in may: the user is not known yet')
        return self


class DraftSettings(SettingsModel):
    """What is only a draft in the GraphQL specification. It may change with each release."""

    semantic_non_null: bool = Field(
        default=False,
        description="Draft: whether a field of a user whose `type` ends with `!` is nullable in the"
        " schema and has `@semanticNonNull`: it is `null` only with an error.",
    )
    service_capabilities: bool = Field(
        default=False,
        description="Draft: whether clients can ask by `__service` what the gateway can do beyond"
        " the specification, such as `onError`.",
    )


class SchemaSettings(SettingsModel):
    """The public schema as a whole."""

    extends: Literal["default", "none"] = Field(
        default="default",
        description="What the schema begins with: `default` (the default fields of a user) or"
        " `none` (only `id`).",
    )
    type: TypeName = Field(
        default="User",
        description="Name of the type of a user. The root fields are named after it: `user` and"
        " `users`.",
        examples=["Employee"],
    )
    plural: PublicName | None = Field(
        default=None,
        description="Name of the root field with several users. By default it is that of the root"
        " field with one, and `s`.",
        examples=["people"],
    )
    description: Description | None = Field(
        default=None, description="Description of the type of a user."
    )
    existence: str | None = Field(
        default=None,
        description="Source that says whether a user exists if a query reads no field of a source."
        " By default it is the source of the first field.",
        examples=["profile"],
    )
    module: Annotated[ModuleText, FromFolder()] | None = Field(
        default=None,
        description="Python module that adds fields and types, by the name that one imports. It is"
        " in this file's folder or installed; `python/acme_users` is in another folder.",
        examples=["acme_users"],
    )
    node: bool = Field(
        default=True,
        description="Whether the schema has the interface `Node` and the root fields `node` and"
        " `nodes`, which Relay's `@refetchable` needs. Of several subgraphs behind a federation"
        " router, only one may have them.",
    )
    drafts: DraftSettings = Field(
        default=DraftSettings(), description="What is only a draft in the GraphQL specification."
    )
    lookups: Mapping[PublicName, SchemaLookupSettings] = Field(
        default={},
        description="Root fields that find users by another unique key, by the name of the field"
        " with one user.",
        examples=[
            {
                "userByEmail": {
                    "source": "profile",
                    "key": "email",
                    "request": {"form": "list", "path": "/users", "parameter": "email"},
                    "answer": {"key": ["email"]},
                    "description": "The user with this mail address.",
                    "may": "profile:read",
                }
            }
        ],
    )

    @property
    def names(self) -> UserNames:
        """What the schema calls users."""
        one = self.type[:1].lower() + self.type[1:]
        return UserNames(self.type, one, self.plural or f"{one}s", self.node)


class UserFieldSettings(SettingsModel):
    """A field of a user, or a default field that is hidden."""

    hidden: bool = Field(
        default=False,
        description="Whether the schema lacks this field of the default schema.",
    )
    source: str | None = Field(
        default=None,
        max_length=129,
        description="Source that the field is read from: `support`, or one of its endpoints:"
        " `support.tickets`.",
        examples=["support"],
    )
    type: TypeText | None = Field(default=None, description=_TYPE, examples=["Int", "[Agent!]"])
    value: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) that reads the field from a row. By default it is the"
        " field's name.",
        examples=["stats.open"],
    )
    description: Description | None = Field(
        default=None,
        description="Description of the field in the schema.",
        examples=["How many tickets are open."],
    )
    may: PolicyText | None = Field(
        default=None,
        description="Who may see the field: `public` (every caller), `self` (the user itself), a"
        " scope (callers with that scope), or both: `self or support:read`.",
        examples=["self or support:read"],
    )
    deprecated: Description | None = Field(
        default=None, description=_DEPRECATED, examples=["use tickets"]
    )
    assumed_size: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description=_ASSUMED_SIZE,
        examples=[20],
    )
    cost: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="What the field adds to the cost of a query. By default it is 1 for an object,"
        " 0 for other values, and 5 for a list that is read page by page.",
    )
    connection: bool = Field(
        default=False,
        description="Whether the field is a list that is read page by page, as a connection"
        " (Relay). `type` is then the type of an item.",
    )
    list: ListSettings | None = Field(
        default=None,
        description="How a page of the list is requested and read, beside `connection = true`. When"
        " absent, the default contract applies: `GET /{name}?userId=a&limit=20&cursor=…`, which"
        " answers `{items: […], nextCursor?}`.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require settings that fit together.

        Raises:
            ValueError: A hidden field has other settings, or a setting is for another kind of
                field.
        """
        others = self.model_fields_set - {"hidden"}
        if self.hidden and others:
            raise ValueError(f"expected no {min(others)} beside hidden = true")
        if self.connection and (self.value is not None or self.assumed_size is not None):
            raise ValueError(
                "expected no value and no assumed_size beside connection = true: list says how its"
                " pages are read"
            )
        if self.list is not None and not self.connection:
            raise ValueError("expected connection = true beside list")
        return self


class ObjectFieldSettings(SettingsModel):
    """A field of an object."""

    type: TypeText = Field(description=_TYPE, examples=["String!"])
    description: Description = Field(
        description="Description of the field in the schema.", examples=["Name of the agent."]
    )
    value: ExpressionText | None = Field(
        default=None,
        description="Expression (JMESPath) that reads the field from the part of the row that is"
        " the object. By default it is the field's name.",
        examples=["full_name"],
    )
    deprecated: Description | None = Field(default=None, description=_DEPRECATED)
    assumed_size: int | None = Field(
        default=None, ge=1, le=100_000, description=_ASSUMED_SIZE, examples=[20]
    )


class ObjectSettings(SettingsModel):
    """An object inside a user's fields."""

    description: Description = Field(
        description="Description of the type in the schema.", examples=["Who answers the user."]
    )
    fields: Annotated[Mapping[PublicName, ObjectFieldSettings], Field(min_length=1)] = Field(
        description="The fields of the object, by name.",
        examples=[{"name": {"type": "String!", "description": "Name of the agent."}}],
    )


class EnumValueSettings(SettingsModel):
    """A value of an enum."""

    value: Word | Annotated[tuple[Word, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The service's word for the value, or a list of words, in any case. By default"
        " it is the name of the value.",
        examples=["low", ["high", "urgent"]],
    )
    description: Description | None = Field(
        default=None, description="Description of the value in the schema."
    )
    deprecated: Description | None = Field(default=None, description=_DEPRECATED)

    @property
    def words(self) -> tuple[str, ...]:
        """The service's words for the value; empty if its name is the word."""
        if self.value is None:
            return ()
        return (self.value,) if isinstance(self.value, str) else self.value


class EnumSettings(SettingsModel):
    """An enum, and the service's words for its values."""

    description: Description = Field(
        description="Description of the type in the schema.", examples=["How urgent."]
    )
    values: Annotated[Mapping[PublicName, EnumValueSettings], Field(min_length=1)] = Field(
        description="The values of the enum, by name.",
        examples=[{"HIGH": {"value": ["high", "urgent"]}}],
    )
    unknown: PublicName | None = Field(
        default=None,
        description="The value for all other words. When absent, another word is an error at the"
        " field.",
        examples=["LOW"],
    )
