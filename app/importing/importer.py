"""Puts together what is guessed of a source. Pure."""

from typing import Any

from app.importing.answers import guess_answer
from app.importing.document import OpenApiDocument
from app.importing.guess import AddressGuess, SourceGuess
from app.importing.operation import IN_BRACES, Method, OpenApiOperation, find_operation
from app.importing.requests import guess_request
from app.settings.base import check_address
from app.sources.base import SourceSpec


def guess_source(
    document: OpenApiDocument,
    spec: SourceSpec[Any],
    path: str,
    *,
    method: Method | None = None,
    status: str | None = None,
) -> SourceGuess:
    """Guess the settings of a source from an operation of a document.

    Args:
        document: The document.
        spec: The source.
        path: The path of the operation.
        method: Its method; the one of the path that reads, or GET, by default.
        status: The status of the response that has the rows; 200 by default.

    Returns:
        The guess.

    Raises:
        OpenApiError: The document has no such operation, or it cannot be a source.
    """
    operation = find_operation(document, path, method=method, status=status)
    request = guess_request(operation)
    return SourceGuess(
        source=spec.name,
        operation=(
            f"{operation.method.upper()} {operation.path}, response {operation.answer.status}"
        ),
        document=f"{document.title} (OpenAPI {document.version})",
        address=_address(operation, spec.name),
        request=request,
        answer=guess_answer(spec, operation, request.settings, request.keys),
    )


def _address(operation: OpenApiOperation, source: str) -> AddressGuess:
    """Find the address of the service: the first that is absolute."""
    urls = dict.fromkeys(url.rstrip("/") for url in operation.servers if url)
    base_url = next((url for url in urls if _is_address(url)), None)
    path = next((url for url in urls if url.startswith("/")), "")
    example = f"https://{source}.internal{path}"
    return AddressGuess(base_url, example, tuple(url for url in urls if url != base_url))


def _is_address(url: str) -> bool:
    """Return whether the settings take an address."""
    try:
        check_address(url)
    except ValueError:
        return False
    return "?" not in url and not IN_BRACES.search(url)
