"""The files of the bundle, as a browser fetches them."""

import re
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

# Allows no path separator and no drive of any system, so a name never leads out of the folder.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

# The types of all files of a bundle. Python's own table depends on its version and the machine.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

_HEADERS = {
    # Each name has a hash of the contents, so the file of a name never changes.
    "Cache-Control": "public, max-age=31536000, immutable",
    # A worker follows the policy of its own script. Monaco's workers load nothing.
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class Assets:
    """Serves one folder of files with hashed names.

    Args:
        folder: The folder of the files. If it is missing, every name gets 404.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # Not async: it reads the disk, so Starlette runs it in a thread, not on the event loop.
    def serve(self, request: Request) -> Response:
        """Return the file that the path parameter `name` names, gzipped if the client accepts it.

        Args:
            request: The browser's request.

        Returns:
            The file; or status 304 if the client already has it.

        Raises:
            HTTPException: 404 if the bundle has no file of that name.
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
    """Return whether `Accept-Encoding` names gzip, without `q=0` (RFC 9110, section 12.5.3)."""
    for item in _list(request, "accept-encoding"):
        coding, *parameters = (part.strip() for part in item.lower().split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _has(request: Request, etag: str) -> bool:
    """Return whether the client has this version (RFC 9110, section 13.1.2: compared weakly)."""
    tags = _list(request, "if-none-match")
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in tags)


def _list(request: Request, name: str) -> list[str]:
    """Read a header that is a list. Its lines together are one list (RFC 9110, section 5.3)."""
    return ",".join(request.headers.getlist(name)).split(",")
