"""The requests that could find users at a service: the common forms, by common names. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from app.expressions.places import KEY
from app.importing.names import singular, squashed
from app.settings.request import (
    EachRequest,
    FilterRequest,
    ListRequest,
    RepeatRequest,
    RequestSettings,
)
from app.starting.address import GivenAddress

_PATHS = ("users", "people", "employees", "customers", "accounts", "members", "profiles")
"""Where services have their users, if the address does not say it."""

_EQUALS = "eq."
"""What PostgREST has before the value of a parameter."""


class Way(Struct, frozen=True):
    """A way to find users.

    Attributes:
        one: The request for one user.
        several: The requests for several users at once, the best first.
    """

    one: RequestSettings
    several: Sequence[RequestSettings] = ()


class UserCollection(Struct, frozen=True):
    """A place where a service may have users.

    Attributes:
        base_url: The address that paths are appended to.
        by_path: The way with the id in the path; ``None`` if there is none.
        by_query: The ways with the id in the query.
    """

    base_url: str
    by_path: Way | None
    by_query: Sequence[Way]


def collections_of(address: GivenAddress, source: str) -> Iterator[UserCollection]:
    """List the places where a service may have users, the likeliest first.

    Args:
        address: What the operator says of the service.
        source: The name of the source.

    Yields:
        The place that the address names; if it names none, usual places below it.
    """
    if address.parameter is not None:
        base_url, path = _split(address.origin, address.path or "/")
        yield UserCollection(base_url, None, (_by_value(path, address),))
        return
    before, place, after = address.path.partition(f"/{KEY}")
    if place:
        base_url, path = _split(address.origin, before)
        by_path = Way(
            EachRequest(form="each", path=f"{path}{place}{after}", parameters=address.fixed)
        )
        by_query = () if after or not path else tuple(_by_query(path, address, source))
        yield UserCollection(base_url, by_path, by_query)
        return
    if address.path:
        yield _collection(*_split(address.origin, address.path), address, source)
    plural = source if source.endswith("s") else f"{source}s"
    for name in dict.fromkeys(("users", source, plural, *_PATHS)):
        yield _collection(f"{address.origin}{address.path}", f"/{name}", address, source)


def _collection(base_url: str, path: str, address: GivenAddress, source: str) -> UserCollection:
    """Make the ways at one path."""
    by_path = Way(EachRequest(form="each", path=f"{path}/{KEY}", parameters=address.fixed))
    return UserCollection(base_url, by_path, tuple(_by_query(path, address, source)))


def _split(origin: str, path: str) -> tuple[str, str]:
    """Split an address before the last step of its path."""
    before, slash, last = path.rpartition("/")
    return f"{origin}{before}", f"{slash}{last}"


def _by_query(path: str, address: GivenAddress, source: str) -> Iterator[Way]:
    """List the ways with the id in the query."""
    nouns = ("user", singular(squashed(path)), singular(squashed(source)))
    words = dict.fromkeys(one for one in nouns if one)
    own = [
        name
        for word in words
        for name in (f"{word}Id", f"{word}Ids", f"{word}_id", f"{word}_ids", word)
    ]
    for name in dict.fromkeys(("ids", "id", *own, "ids[]", "id[]", "filter[id]")):
        if name not in address.fixed:
            yield _by_parameter(path, name, address)
    yield Way(
        EachRequest(
            form="each",
            path=path,
            parameter="id",
            value=f"{_EQUALS}{KEY}",
            parameters=address.fixed,
        ),
        (_in_list(path, "id", address),),
    )
    scim = FilterRequest(
        form="filter", path=path, parameter="filter", escape="backslash", parameters=address.fixed
    )
    yield Way(scim, (scim,))


def _by_value(path: str, address: GivenAddress) -> Way:
    """Make the way with the id in the parameter that the address has."""
    name = str(address.parameter)
    if address.value == KEY:
        return _by_parameter(path, name, address)
    one = EachRequest(
        form="each", path=path, parameter=name, value=address.value, parameters=address.fixed
    )
    listed = address.value == f"{_EQUALS}{KEY}"
    return Way(one, (_in_list(path, name, address),) if listed else ())


def _by_parameter(path: str, name: str, address: GivenAddress) -> Way:
    """Make the way with the id as a parameter: repeated, or with commas between."""
    return Way(
        EachRequest(form="each", path=path, parameter=name, parameters=address.fixed),
        (
            RepeatRequest(form="repeat", path=path, parameter=name, parameters=address.fixed),
            ListRequest(form="list", path=path, parameter=name, parameters=address.fixed),
        ),
    )


def _in_list(path: str, name: str, address: GivenAddress) -> ListRequest:
    """Make the request of PostgREST for several users."""
    return ListRequest(
        form="list",
        path=path,
        parameter=name,
        quote='"',
        escape="backslash",
        wrap="in.({keys})",
        parameters=address.fixed,
    )
