"""The fixed files of a page, which hold nothing of the data."""

from pathlib import Path

from starlette.responses import Response

TYPES = {  # of contents, by the suffix of a file
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
FOLDER = Path(__file__).parent
HEAD = FOLDER / "head.html"


class PageFiles:
    """The style sheets, scripts and pages of a folder, and those of this one, which all pages share.

    A page begins with its title: what comes before is the same for all, HEAD.
    """

    def __init__(self, folder: Path) -> None:
        """List the files once: a name in a request is looked up, and no path is made of it."""
        self._paths = {
            path.name: path
            for source in (FOLDER, folder)
            for path in source.iterdir()
            if path.suffix in TYPES and path != HEAD
        }
        self.names = frozenset(self._paths)

    def response(self, name: str) -> Response:
        """Return a file, or the answer that there is none of this name."""
        path = self._paths.get(name)
        if path is None:
            return Response(status_code=404)
        head = HEAD.read_bytes() if path.suffix == ".html" else b""
        return Response(head + path.read_bytes(), media_type=TYPES[path.suffix])
