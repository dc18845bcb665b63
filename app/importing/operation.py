"""One operation of a document: its parameters, its body, and the answer that has the rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from app.errors import quote
from app.importing.document import Node, OpenApiDocument, OpenApiError
from app.importing.schemas import Schemas, Shape

Method: TypeAlias = Literal["get", "post"]
"""The methods by which the gateway reads."""

METHODS: Sequence[Method] = get_args(Method)

IN_BRACES = re.compile(r"\{([^{}/]*)\}")
"""A place for a parameter in a path."""

_JSON = re.compile(r"(application|text)/([a-z0-9.+-]+\+)?json(\s*;.*)?", re.IGNORECASE)
_OK = "200"
_DEFAULT = "default"
_NOT_FOUND = "404"
_NOTHING_FOUND = re.compile(
    r"no such|unknown|(not|n.t)[ _-]?(be )?(found|find|exist)", re.IGNORECASE
)
_OF_THE_PATH = re.compile(r"\b(path|page|route|endpoint|url|uri|method)\b", re.IGNORECASE)
_SUCCESS = re.compile(r"2[0-9][0-9]|2XX|default")

_PLAIN = re.compile(r"[!-~]+")
_LONGEST_NAME = 128

_LISTED = 10
"""The most paths that an error lists."""


class Parameter(Struct, frozen=True):
    """A parameter of an operation.

    Attributes:
        name: Its name.
        place: Where it goes: ``path``, ``query``, ``header`` or ``cookie``.
        required: Whether a request must have it.
        description: What it means.
        style: How a list is written, such as ``form``.
        explode: Whether each item of a list has a parameter of its own.
        shape: What its value may be.
    """

    name: str
    place: str
    required: bool
    description: str
    style: str
    explode: bool
    shape: Shape

    @property
    def is_plain(self) -> bool:
        """Whether its name is one that the settings take."""
        name = self.name
        return len(name) <= _LONGEST_NAME and _PLAIN.fullmatch(name) is not None


class Answer(Struct, frozen=True):
    """A response of an operation.

    Attributes:
        status: Its status, as the document writes it: ``200``, ``2XX`` or ``default``.
        schema: The schema of its JSON.
    """

    status: str
    schema: Node


class OpenApiOperation(Struct, frozen=True):
    """An operation of a document.

    Attributes:
        method: Its method.
        path: Its path, as the document writes it.
        parameters: Its parameters, with those of its path.
        body: The schema of its JSON body; ``None`` if it has none.
        answer: The response that has the rows.
        says_not_found: Whether the document says that status 404 means that nothing was found.
        servers: The addresses of the service, the most specific ones first; may be relative.
        schemas: Reads the schemas.
    """

    method: Method
    path: str
    parameters: Sequence[Parameter]
    body: Node | None
    answer: Answer
    says_not_found: bool
    servers: Sequence[str]
    schemas: Schemas


def find_operation(
    document: OpenApiDocument, path: str, *, method: Method | None = None, status: str | None = None
) -> OpenApiOperation:
    """Find an operation in a document.

    Args:
        document: The document.
        path: Its path. Names in braces may be others than in the document.
        method: Its method; the only one of the path that reads, or GET, by default.
        status: The status of the response that has the rows; 200 by default.

    Returns:
        The operation.

    Raises:
        OpenApiError: The document has no such path, method or response, or is malformed there.
    """
    written, item = _path_item(document.root, path)
    chosen = _method(written, item, method)
    operation = _needed(item, chosen).resolved()
    schemas = Schemas(refs_have_siblings=document.refs_have_siblings)
    listed = operation.member("responses")
    responses = {} if listed is None else dict(listed.members())
    return OpenApiOperation(
        method=chosen,
        path=written,
        parameters=_parameters(item, operation, schemas),
        body=_body(operation),
        answer=_answer(f"{chosen.upper()} {written}", responses, status),
        says_not_found=_NOT_FOUND in responses and _says_not_found(responses[_NOT_FOUND]),
        servers=[
            _server_address(server)
            for node in (operation, item, document.root)
            if (servers := node.member("servers")) is not None
            for server in servers.items()
        ],
        schemas=schemas,
    )


def _server_address(server: Node) -> str:
    """Return the address of a server, with the defaults of its variables."""
    variables = server.member("variables")
    defaults = {
        name: variable.text("default")
        for name, variable in (() if variables is None else variables.members())
    }
    return IN_BRACES.sub(lambda place: defaults.get(place[1]) or place[0], server.text("url"))


def _path_item(root: Node, path: str) -> tuple[str, Node]:
    """Find a path, by its text or by its text without the names in braces."""
    paths = root.member("paths")
    known = dict(() if paths is None else paths.members())
    if path in known:
        return path, known[path].resolved()
    same = [one for one in known if IN_BRACES.sub("{}", one) == IN_BRACES.sub("{}", path)]
    if len(same) == 1:
        return same[0], known[same[0]].resolved()
    near = get_close_matches(path, known, n=_LISTED, cutoff=0.5)
    if near:
        hint = f"did you mean {', '.join(near)}?"
    elif known:
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        hint = f"expected one of {', '.join(islice(known, _LISTED))}{more}"
    else:
        hint = "it has no paths"
    raise OpenApiError(f"{quote(path)} is no path of the document: {hint}")


def _method(path: str, item: Node, method: Method | None) -> Method:
    """Choose the method."""
    wanted = METHODS if method is None else (method,)
    for one in wanted:
        if item.member(one) is not None:
            return one
    others = [name for name, _ in item.members() if re.fullmatch("[a-z]+", name)]
    named = ", ".join(sorted({*others} & {"get", "post", "put", "patch", "delete", "head"}))
    expected = "GET or POST, by which the gateway reads" if method is None else method.upper()
    raise OpenApiError(f"{path}: expected {expected}, got {named or 'no method'}")


def _needed(node: Node, name: str) -> Node:
    """Return a member that has to be there."""
    found = node.member(name)
    if found is None:
        raise OpenApiError(f"{node.place}: expected a member {name}")
    return found


def _parameters(item: Node, operation: Node, schemas: Schemas) -> Sequence[Parameter]:
    """List the parameters of an operation; its own replace those of its path."""
    found: dict[tuple[str, str], Parameter] = {}
    for node in (item, operation):
        listed = node.member("parameters")
        for one in () if listed is None else listed.items():
            parameter = _parameter(one.resolved(), schemas)
            found[parameter.place, parameter.name] = parameter
    return [*found.values()]


def _parameter(node: Node, schemas: Schemas) -> Parameter:
    """Read a parameter."""
    place = node.text("in")
    style = node.text("style") or ("form" if place in {"query", "cookie"} else "simple")
    explode, required = node.member("explode"), node.member("required")
    schema = node.member("schema") or Node({}, node.place, node.references)
    shape = schemas.shape(schema)
    return Parameter(
        name=node.text("name"),
        place=place,
        required=required is not None and required.value is True,
        description=node.text("description") or shape.description,
        style=style,
        explode=style == "form" if explode is None else explode.value is True,
        shape=shape,
    )


def _body(operation: Node) -> Node | None:
    """Return the schema of the JSON body."""
    body = operation.member("requestBody")
    return None if body is None else _json_schema(body.resolved())


def _json_schema(node: Node) -> Node | None:
    """Return the schema of the JSON among the media types of a body or a response."""
    content = node.member("content")
    if content is None:
        return None
    media = [(name, one.resolved()) for name, one in content.members() if _is_json(name)]
    media.sort(key=lambda named: not named[0].lower().startswith("application/json"))
    return next((schema for _, one in media if (schema := one.member("schema"))), None)


def _is_json(media_type: str) -> bool:
    """Return whether a media type is JSON; a range of types may be."""
    return _JSON.fullmatch(media_type) is not None or media_type in {"*/*", "application/*"}


def _says_not_found(response: Node) -> bool:
    """Return whether a response means that nothing was found, rather than that the path is wrong.

    Its name counts, too, if it is one of those that operations share.
    """
    try:
        name = response.text("$ref").rpartition("/")[2]
        said = f"{name} {response.resolved().text('description')}"
    except OpenApiError:  # a hint that is lacking is no reason to refuse the operation
        return False
    return _NOTHING_FOUND.search(said) is not None and _OF_THE_PATH.search(said) is None


def _answer(place: str, named: Mapping[str, Node], status: str | None) -> Answer:
    """Choose the response that has the rows."""
    fitting = dict(_json_answers(named))
    listed = ", ".join(fitting) or "none with JSON"
    if status is not None:
        if status not in fitting:
            raise OpenApiError(
                f"{place}: expected --response to be one of the successful responses with JSON"
                f" ({listed}), got {quote(status)}"
            )
        return Answer(status, fitting[status])
    # The default response is that of errors, where there are others.
    successful = {
        one: schema for one, schema in fitting.items() if one != _DEFAULT or len(named) == 1
    }
    if _OK in successful:
        return Answer(_OK, successful[_OK])
    if len(successful) == 1:
        [(only, schema)] = successful.items()
        return Answer(only, schema)
    if successful:
        raise OpenApiError(f"{place}: expected --response with one of {listed}: several fit")
    others = f", got {', '.join(named)}" if named else ""
    raise OpenApiError(f"{place}: expected a response 200 with JSON that has a schema{others}")


def _json_answers(responses: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    """List the successful responses that have JSON."""
    for status, node in responses.items():
        if _SUCCESS.fullmatch(status):
            schema = _json_schema(node.resolved())
            if schema is not None:
                yield status, schema
