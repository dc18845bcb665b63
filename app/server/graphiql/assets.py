"""The files of the bundle, as a browser fetches them."""

import re
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

# No separator and no drive of any system fits in, so a name never leaves the folder.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

# All that a bundle has. Python's own table depends on its version and on the machine.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

_HEADERS = {
    # The names hold a hash of the contents: what is under a name never changes.
    "Cache-Control": "public, max-age=31536000, immutable",
    # A worker obeys the policy of its own script. Monaco's need nothing from anywhere.
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class Assets:
    """Serves one folder of files with hashed names.

    Args:
        folder: Where the files are. It may be missing; every name is then unknown.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # Not async: Starlette then runs it in a thread, away from the event loop, as it reads the disk.
    def serve(self, request: Request) -> Response:
        """Answers with the file that the path parameter `name` names, gzipped where accepted.

        Raises:
            HTTPException: 404 for any name that is no file of the bundle.
        """
        name: str = request.path_params["name"]
        file = self._folder / name
        media_type = _MEDIA_TYPES.get(file.suffix)
        if media_type is None or not _NAME.fullmatch(name) or not file.is_file():
            raise HTTPException(404)
        headers = _HEADERS | {"ETag": f'"{name}"'}
        packed = file.with_name(f"{name}.gz")
        if _accepts_gzip(request) and packed.is_file():
            file = packed
            headers |= {"ETag": f'"{packed.name}"', "Content-Encoding": "gzip"}
        if _has(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return FileResponse(file, headers=headers, media_type=media_type)


def _accepts_gzip(request: Request) -> bool:
    """Whether `Accept-Encoding` names gzip, and not only to refuse it (RFC 9110, 12.5.3)."""
    for item in _list(request, "accept-encoding"):
        coding, *parameters = (part.strip() for part in item.lower().split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _has(request: Request, etag: str) -> bool:
    """Whether the client already has this version (RFC 9110, 13.1.2: the comparison is weak)."""
    tags = _list(request, "if-none-match")
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in tags)


def _list(request: Request, name: str) -> list[str]:
    """Read a header that is a list; all of its lines are one (RFC 9110, section 5.3)."""
    return ",".join(request.headers.getlist(name)).split(",")
