"""Ids that change a request unless they are escaped, and strategies that make many of them."""

from hypothesis import strategies as st

from app.sources.base import UserId
from tests.poison import OTHER_DIGITS, POISON, behind

A_UUID = "00000000-0000-4000-8000-000000000012"

HOSTILE = (
    "a'b\"c",
    "a,b",
    "a|b",
    "a:b",
    "a&id=b",
    "a=b",
    "a+b c",
    "100%",
    "%41%2B%00",
    "%2e%2e%2f",
    "#fragment",
    "?query",
    "a\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1",
    "../../admin",
    "..",
    ".",
    "/",
    "a/invoices",
    "..\\..",
    ";drop",
    "{id}[0]|^`\\",
    "{key}",
    "{keys}",
    'x" or id pr or id eq "',
    "x' or 1 eq 1 or id eq '",
    "id",
    "null",
    "me",
    "*",
    '"a',
    'b"',
    "a\\",
    'a\\"',
    "a)",
    '"),or=(id.not.is.null)',
    " a ",
    "-a",
    "ünïcødé 😀",
    "\u2028\ufeff",
    "\ud800",
    "\udc00a",
    "\x00\x7f\x85",
    "0",
    "007",
    "12345678901234567890",
    "00000000-0000-4000-8000-00000000000a",
    "",
    "a/../b",
    "a%2f..",
    "a%252f..",
    "a..",
    "..a",
    "..;a",
    "...",
    ". .",
    "%c0%ae%c0%ae%c0%af",
    "\uff0e\uff0e\uff0fadmin",
    "\u2025",
    "\u2024\u2024\u2215",
    "\u0661\u0662\u0663",
    "\uff11\uff12\uff13",
    "\u00b9\u00b2",
    "1_000",
    "1e3",
    "0x10",
    "+1",
    "-1",
    "1.0",
    "0" * 20,
    "9" * 21,
    "\u212aim",
    "\u017fam",
    "stra\u00dfe",
    *dict.fromkeys(key for good in (A_UUID, "12") for key in behind(good)),
    *(f"12{one}" for one in POISON),
    *(f"{A_UUID[:-1]}{one}" for one in POISON),
    *(A_UUID.translate(digits) for digits in OTHER_DIGITS),
)
"""Each of them changes the meaning of a request if it is not escaped for its place."""

_PIECES = st.sampled_from(
    ['"', "'", "\\", ",", "(", ")", " or ", "id eq ", "|", "..", "/", "%", "&", "=", "#", "?", "+"]
) | st.sampled_from(
    ["{key}", "{keys}", "}", "]", "\r\n", "\x00", "\ud800", "ü", "a", "1", "-", " ", ";", ""]
)

ids = (
    st.sampled_from(HOSTILE)
    | st.lists(_PIECES, max_size=6).map("".join)
    | st.text(st.characters(), max_size=12)
    | st.from_regex(r"[0-9]{1,4}|[a-z0-9\-]{1,12}", fullmatch=True)
    | st.tuples(st.sampled_from([A_UUID, "12", "a"]), _PIECES | st.sampled_from(POISON)).map(
        "".join
    )
    | st.tuples(_PIECES | st.sampled_from(POISON), st.sampled_from([A_UUID, "12", "a"])).map(
        "".join
    )
).map(UserId)
"""Any id, most of them hostile."""

many_ids = st.lists(ids, max_size=12, unique=True)
"""Several of them, each once."""
