"""Values that are valid by the grammar of JSON, but that some readers cannot take."""

from collections.abc import Mapping

from hypothesis import strategies as st

ODD: Mapping[str, bytes] = {
    "the first half of a pair": rb'"Ada \ud83d"',
    "the second half of a pair": rb'"\ude00 Ada"',
    "a half before other text": rb'"\ud83dAda"',
    "two first halves": rb'"\ud83d\ud83d"',
    "a half and an escape": rb'"\ud83d\n"',
    "bytes that are not UTF-8": b'"Ad\xe4"',
    "half a pair in UTF-8": b'"\xed\xa0\xbd"',
    "a whole pair in UTF-8, half by half": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "NUL in two bytes": b'"\xc0\x80"',
    "a character cut in the middle": b'"\xf0\x9f\x98"',
    "a half in a list": rb'["\ud83d"]',
    "a half in an object": rb'{"a": {"b": "\ud83d"}}',
    "a half in a name": rb'{"\ud83d": 1}',
    "bytes that are not UTF-8 in a name": b'{"\xff": 1}',
    "beyond the largest float": b"1e999",
    "below the least float": b"-1E400",
    "nearly nothing": b"1e-999",
    "an exponent of many digits": b"1e99999999999999999999",
    "a negative exponent of many digits": b"1e-99999999999999999999",
    "an integer of 400 digits": b"9" * 400,
    "an integer of 5,000 digits": b"-" + b"9" * 5_000,
    "an integer of 100,000 digits": b"9" * 100_000,
    "a fraction of 100,000 digits": b"0." + b"9" * 100_000,
    "lists within 150 lists": b"[" * 150 + b"]" * 150,
    "lists within 300 lists": b"[" * 300 + b"]" * 300,
    "lists within 5,000 lists": b"[" * 5_000 + b"]" * 5_000,
    "lists within 100,000 lists": b"[" * 100_000 + b"]" * 100_000,
    "objects within 300 objects": b'{"a":' * 300 + b"1" + b"}" * 300,
    "objects within 5,000 objects": b'{"a":' * 5_000 + b'"]}"' + b"}" * 5_000,
    "lists and objects within 5,000": b'[{"\\"[":' * 5_000 + b"{}" + b"}]" * 5_000,
    "NaN": b"NaN",
    "infinity": b"-Infinity",
}
"""None of them can be the value of a field of a record."""

STRANGE: Mapping[str, bytes] = {
    "a pair": rb'"\ud83d\ude00"',
    "NUL": rb'"\u0000"',
    "controls": rb'"\u0001\b\f\n\r\t\u001f"' + b"",
    "delete": b'"\x7f"',
    "a byte order mark within": b'"\xef\xbb\xbf"',
    "no character": rb'"\uffff"',
    "a line separator": b'"\xe2\x80\xa8"',
    "an escaped slash": rb'"\/"',
    "text of a million characters": b'"' + b"x" * 1_000_000 + b'"',
    "a million escapes": b'"' + rb"\n" * 1_000_000 + b'"',
    "nothing": b'""',
}
"""Texts that look strange, but that every reader can take."""

_NAMES = st.sampled_from(
    [b'"a"', b'""', rb'"\u0061"', rb'"\ud83d"', b'"\xff"', b'"id"', b'"username"', b'"userId"']
)

json_texts: st.SearchStrategy[bytes] = st.recursive(
    st.sampled_from([one for one in (*ODD.values(), *STRANGE.values()) if len(one) < 1_000])
    | st.sampled_from([b"null", b"true", b"0", b"-0", b"1.0", b"1e2", b'"x"', b"20260601"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: b"[" + b",".join(items) + b"]")
        | st.lists(st.tuples(_NAMES, inner), max_size=3).map(
            lambda pairs: b"{" + b",".join(name + b":" + value for name, value in pairs) + b"}"
        )
    ),
    max_leaves=6,
)
"""JSON texts of any shape, most of them with something odd in them."""


def with_member(row: bytes, name: str, value: bytes) -> bytes:
    """Put a member into an object, behind all others.

    Args:
        row: The JSON text of the object, which has members.
        name: The name.
        value: The JSON text of the value.

    Returns:
        The JSON text.
    """
    return row.rstrip()[:-1] + b', "' + name.encode() + b'": ' + value + b"}"
