"""The page's server: what its script asks for, as JSON."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from stages.common.errors import HeadstartError
from stages.labelling.guard import Guard
from stages.labelling.inputs import UnreadableError
from stages.labelling.queues import Queue
from stages.labelling.session import Session

FOLDER = Path(__file__).parent
FILES = {  # of the page, and their types
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "curve.js": "text/javascript; charset=utf-8",
}

Id = Annotated[str, Field(max_length=64)]


class Ask(BaseModel):
    """What a tab asks for."""

    tab: Id
    queue: Queue


class Label(Ask):
    """A label for the row that the tab shows."""

    id: Id
    label: Annotated[str, Field(max_length=1_000)]


class PutAside(Ask):
    """No label for the row that the tab shows."""

    id: Id
    kind: Literal["skip", "unsure"]


def application(session: Session, *, token: str, port: int) -> Guard:
    """Make the application that serves the page on this port to those who have the token."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(HeadstartError)
    def refuse(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503 if isinstance(error, UnreadableError) else 409)

    @app.exception_handler(RequestValidationError)
    def refuse_form(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "the page sent something that is no answer, so nothing was stored"}, 422)

    @app.get("/")
    def page() -> Response:
        return Response((FOLDER / "page.html").read_bytes(), media_type="text/html; charset=utf-8")

    @app.get("/{name}")
    def file(name: str) -> Response:
        if name not in FILES:
            return Response(status_code=404)
        return Response((FOLDER / name).read_bytes(), media_type=FILES[name])

    @app.get("/picture/{row_id}")
    def picture(row_id: str) -> Response:
        return Response(session.picture(row_id), media_type="image/png")

    @app.post("/view")
    def view(ask: Ask) -> dict[str, Any]:
        return session.view(ask.tab, ask.queue)

    @app.post("/label")
    def label(ask: Label) -> dict[str, Any]:
        session.label(ask.tab, ask.id, ask.label)
        return session.view(ask.tab, ask.queue)

    @app.post("/aside")
    def put_aside(ask: PutAside) -> dict[str, Any]:
        session.put_aside(ask.tab, ask.id, ask.kind)
        return session.view(ask.tab, ask.queue)

    @app.post("/undo")
    def undo(ask: Ask) -> dict[str, Any]:
        return session.view(ask.tab, session.undo(ask.tab))

    @app.post("/leave")
    def leave(ask: Ask) -> None:
        session.leave(ask.tab)

    return Guard(app, token=token, port=port, public=tuple(f"/{name}" for name in FILES))
