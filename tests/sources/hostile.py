"""Ids that would be something else if they left their place, and how to make many of them."""

from hypothesis import strategies as st

from app.sources.base import UserId

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
)
"""Each of them asks another question wherever it is not escaped for its place."""

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
).map(UserId)
"""Any id, most of them hostile."""

many_ids = st.lists(ids, max_size=12, unique=True)
"""Several of them, each once."""
