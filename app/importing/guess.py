"""What was guessed of a source. The types of request and answer are those of the settings."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.errors import quote
from app.settings.request import RequestSettings
from app.settings.response import AnswerSettings


class Property(Struct, frozen=True):
    """A property of a row.

    Attributes:
        expression: The expression that reads it.
        type: Its type, in words.
        description: What it means, by the document; may be empty.
    """

    expression: str
    type: str
    description: str


class WordsGuess(Struct, frozen=True):
    """What was guessed of the words of a field.

    Attributes:
        known: The record's word for each word of the service.
        unknown: The words of the service that are like none of the record.
        expected: The words of the record.
    """

    known: Mapping[str, str]
    unknown: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def choice(self) -> str:
        """The words of the record, in words."""
        return f"{', '.join(self.expected[:-1])} or {self.expected[-1]}"


class FieldGuess(Struct, frozen=True):
    """What was guessed of one field of the record.

    Attributes:
        name: Its name in the record.
        meaning: What it means, by the record.
        expected: The type that the record has for it, in words.
        expression: The expression for it; ``None`` if no property fits.
        pattern: An example of an expression for it, where no property fits.
        found: The property that it is read from; ``None`` if no property fits.
        words: The words of the property; ``None`` if there are none, or the gateway understands
            them.
        notes: What an operator has to check.
    """

    name: str
    meaning: str
    expected: str
    expression: str | None
    pattern: str
    found: Property | None = None
    words: WordsGuess | None = None
    notes: tuple[str, ...] = ()


class RequestGuess(Struct, frozen=True):
    """What was guessed of the request.

    Attributes:
        settings: How it names the users.
        keys: Other names of the key, the likeliest first, squashed.
        max_keys: The most users of a call, if the document has a limit.
        notes: What an operator has to check.
    """

    settings: RequestSettings
    keys: Sequence[str]
    max_keys: int | None
    notes: tuple[str, ...]


class AnswerGuess(Struct, frozen=True):
    """What was guessed of the answer.

    Attributes:
        settings: Where the rows and the keys are.
        fields: The fields of the record.
        rest: The other properties of a row.
        notes: What an operator has to check.
    """

    settings: AnswerSettings
    fields: tuple[FieldGuess, ...]
    rest: tuple[Property, ...]
    notes: tuple[str, ...]


class AddressGuess(Struct, frozen=True):
    """What was guessed of the address of the service.

    Attributes:
        base_url: The address; ``None`` if the document has none that is absolute.
        example: An example of one, with the path that the document has.
        others: The other addresses that the document has.
    """

    base_url: str | None
    example: str
    others: tuple[str, ...]


class SourceGuess(Struct, frozen=True):
    """What was guessed of a source.

    Attributes:
        source: Its name.
        operation: The operation that it was guessed from, in words.
        document: The document, in words.
        address: Where the service is.
        request: How a request names the users.
        answer: Where the rows, keys and fields are.
    """

    source: str
    operation: str
    document: str
    address: AddressGuess
    request: RequestGuess
    answer: AnswerGuess

    @property
    def warnings(self) -> Sequence[str]:
        """What is missing, or has to be checked: one sentence each."""
        missing = [
            f"fields.{field.name}: no property fits: expected {field.expected}. {field.meaning}"
            for field in self.answer.fields
            if field.expression is None
        ]
        words = [
            f"words.{field.name}: expected {field.words.choice} for {_listed(field.words.unknown)}"
            for field in self.answer.fields
            if field.words is not None and field.words.unknown
        ]
        address = (
            []
            if self.address.base_url is not None
            else [f"base_url: {NO_ADDRESS}: expected one such as {self.address.example}"]
        )
        return [*address, *self.request.notes, *self.answer.notes, *missing, *words]


def _listed(words: Sequence[str]) -> str:
    """List words in one line."""
    more = f" and {len(words) - _MOST_WORDS} more" if len(words) > _MOST_WORDS else ""
    return f"{', '.join(map(quote, words[:_MOST_WORDS]))}{more}"


_MOST_WORDS = 10
"""The most words that a warning lists."""

NO_ADDRESS = "the document has no absolute address"
