"""The form of an entry in the shared store: pure.

    byte 1        the version of this form: 1, or 2 if the rest is compressed by zlib
    the rest      MessagePack: an array of the fields of ``StoredEntry``, the record as JSON

The record is the JSON of a row by the default contract. So all records of a batch are decoded
together, by the decoder that reads responses, which also checks them. An entry of another version,
or one that cannot be read, counts as missing. A later version may add fields at its end:
an earlier one reads the entry without them.

The version is a number of MessagePack, too. So entries one after the other are an array of numbers
and entries, and all entries of a batch are decoded together.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from app.sources.base import FieldSet, Record
from app.sources.cache.store import EntryKey
from app.sources.mapping.decoding import RowDecoder, values_of
from app.sources.records_in_parts import with_fields

R = TypeVar("R", bound=Record)

PLAIN, COMPRESSED = b"\x01", b"\x02"

COMPRESS_FROM = 2_048
"""Bytes from which on an entry is compressed. A smaller one is not worth the time."""

MOST_BYTES = 8 * 1024 * 1024
"""The most bytes of an entry, decompressed: more is not what a gateway has stored."""


class StoredEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An entry in the shared store.

    Attributes:
        owner: The identity and the key of its user.
        began: The moment at which its call began.
        arrived: The moment at which its response arrived.
        lifetime: What the service allows: seconds while fresh, seconds while it may be revalidated,
            seconds while it may be used for an error, and whether it is private. ``None`` if the
            service says nothing.
        tags: The tags of its response.
        fields: The fields of the record, if only some were requested; ``None`` for all.
        row: The record as JSON; ``None`` if the source did not know the user.
    """

    owner: EntryKey
    began: int
    arrived: int
    lifetime: tuple[float, float, float, bool] | None
    tags: tuple[str, ...]
    fields: tuple[str, ...] | None
    row: bytes | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredEntry).decode
_decode_all = msgspec.msgpack.Decoder(list[StoredEntry | int]).decode


def write_entry(entry: StoredEntry) -> bytes:
    """Write an entry.

    Args:
        entry: The entry.

    Returns:
        Its bytes.
    """
    body = _encode(entry)
    if len(body) < COMPRESS_FROM:
        return PLAIN + body
    return COMPRESSED + zlib.compress(body, 1)


def read_entries(
    values: Sequence[bytes | None], owners: Sequence[EntryKey]
) -> Sequence[StoredEntry | None]:
    """Read entries.

    Args:
        values: The bytes of each; ``None`` where there are none.
        owners: The identity and the key of the user that each entry should be for.

    Returns:
        The entries; ``None`` for one that is not there, cannot be read, or is for another.
    """
    there = [value for value in values if value is not None]
    read: Sequence[StoredEntry | None] = _read_together(there)
    if len(read) != len(there):
        plain = [_decompressed(value) for value in there]
        read = _read_together(plain)
        if len(read) != len(there):
            read = [_read_entry(value) for value in plain]
    if len(there) < len(values):
        entries = iter(read)
        read = [None if value is None else next(entries) for value in values]
    return [
        None if one is None or one.owner != owner else one
        for one, owner in zip(read, owners, strict=True)
    ]


def _read_together(values: Sequence[bytes]) -> Sequence[StoredEntry]:
    """Read entries together; none if one of them cannot be read, or is compressed.

    A value with more or less than one entry moves others to a wrong place. Their owners show that.
    """
    head = b"\xdd" + (2 * len(values)).to_bytes(4, "big")  # an array of so many items
    try:
        items = _decode_all(head + b"".join(values))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()
    entries = [one for one in items[1::2] if type(one) is StoredEntry]
    return entries if items[::2].count(PLAIN[0]) == len(entries) else ()


def _decompressed(value: bytes) -> bytes:
    """Return an entry as it is without compression; empty if it cannot be decompressed."""
    if not value.startswith(COMPRESSED):
        return value
    unpacked = zlib.decompressobj()
    try:
        body = unpacked.decompress(value[1:], MOST_BYTES)
    except zlib.error:
        return b""
    return b"" if unpacked.unconsumed_tail else PLAIN + body


def _read_entry(value: bytes) -> StoredEntry | None:
    """Read an entry that is not compressed; ``None`` if it cannot be read."""
    if not value.startswith(PLAIN):
        return None
    try:
        return _decode(value[1:])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class RecordCodec(Generic[R]):
    """Writes the records of one source as JSON, and reads them.

    Args:
        record: The type of the records.
        key: The field with the key, by its Python name. A record with some fields has it, too.
        decode: Decodes a JSON array of rows.
        checked: Whether each record is read again after it was written, because its type may have
            validators that do not accept what they return.
    """

    def __init__(
        self, record: type[R], key: str, decode: RowDecoder[R], *, checked: bool = False
    ) -> None:
        self._names: Mapping[str, str] = {
            name: info.alias or name for name, info in record.model_fields.items()
        }
        self._always = frozenset({key, "foreign_keys"} & self._names.keys())
        self._decode = decode
        self._checked = checked
        self._encoder = msgspec.json.Encoder(enc_hook=_plain)

    def write(self, record: R) -> bytes | None:
        """Write a record.

        Args:
            record: The record, or the object of another decoder with its attributes.

        Returns:
            Its JSON; ``None`` if the record cannot be read again.
        """
        names, values = self._names, values_of(record)
        try:
            row = self._encoder.encode({names[name]: value for name, value in values.items()})
        except (TypeError, ValueError, KeyError, RecursionError):
            return None
        if self._checked:
            read = self.read([row], [None if len(values) == len(names) else frozenset(values)])[0]
            if read is None or values_of(read) != values:
                return None
        return row

    def read(self, rows: Sequence[bytes], fields: Sequence[FieldSet | None]) -> Sequence[R | None]:
        """Read records.

        Args:
            rows: The JSON of each.
            fields: The fields of each, without those that it always has; ``None`` for all.

        Returns:
            The records; ``None`` for one that cannot be read.
        """
        if not rows:
            return []
        found = self._decoded(rows)
        if fields.count(None) == len(fields):  # the common case
            return found
        return [
            record if some is None or record is None else with_fields(record, some | self._always)
            for record, some in zip(found, fields, strict=True)
        ]

    def _decoded(self, rows: Sequence[bytes]) -> Sequence[R | None]:
        """Decode rows together; each alone if one of them cannot be read."""
        try:
            found = self._decode(b"[" + b",".join(rows) + b"]")
        except BaseException:  # noqa: BLE001 # a module's validator may even raise SystemExit
            found = []
        if len(found) == len(rows):
            return found
        if len(rows) == 1:
            return [None]
        return [one for row in rows for one in self._decoded([row])]


def _plain(value: object) -> Any:  # noqa: ANN401 # what JSON can have
    """Return the fields of a record inside a record, by their names in JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    raise TypeError(type(value).__name__)
