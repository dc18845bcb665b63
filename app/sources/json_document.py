"""Reading a JSON document of which only a few members matter: keys, addresses, tokens.

The readers of rows refuse a text as a whole that has half of a surrogate pair, a number of
thousands of digits or a byte that is not UTF-8 in it. A document of an issuer is read leniently
instead, so that such a value spoils nothing but the member in which it stands. The models that look
at the members refuse it there.
"""

import json
from collections.abc import Mapping
from typing import cast

from app.errors import MalformedError


def read_document(body: bytes) -> Mapping[str, object]:
    """Read a JSON object that somebody else wrote.

    Args:
        body: The document.

    Returns:
        Its members. Numbers are floats, and a number that is too large for one is infinite; of two
        members with one name the last one counts. A byte that is not UTF-8 becomes a lone
        surrogate, which no model takes for text.

    Raises:
        MalformedError: It is no JSON, no object, or nested too deeply.
    """
    try:
        # Whole numbers too: Python refuses to make an `int` of more than 4,300 digits.
        document: object = json.loads(body.decode("utf-8-sig", "surrogateescape"), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise MalformedError("Invalid JSON") from error
    if not isinstance(document, dict):
        raise MalformedError("all of it: Input should be an object")
    return cast("dict[str, object]", document)  # names are texts in JSON
