"""The page's server: what its script asks for, as JSON."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from stages.common.errors import HeadstartError
from stages.labelling.inputs import UnreadableError
from stages.labelling.queues import Queue
from stages.labelling.session import Session
from stages.web.guard import Guard
from stages.web.listening import LOOPBACK
from stages.web.page_files import PageFiles

MAX_BODY = 10_000  # bytes
FILES = PageFiles(Path(__file__).parent)
PAGE = "page.html"

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
        return FILES.response(PAGE)

    @app.get("/{name}")
    def file(name: str) -> Response:
        return FILES.response(name)

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

    def refusal(request: Request) -> Response | None:
        """Refuse requests without the token, but for the page's fixed files, which hold nothing of the data."""
        given = request.headers.get("x-token") or request.query_params.get("token", "")
        is_public = request.url.path.removeprefix("/") in FILES.names - {PAGE}
        if not is_public and not secrets.compare_digest(given.encode(), token.encode()):
            return PlainTextResponse("Open the address that `python -m stages.label` printed, with its token.\n", 403)
        if request.method not in ("GET", "HEAD") and not _is_small_json(request.headers):
            return PlainTextResponse("The page sends short JSON only.\n", 415)
        return None

    return Guard(
        app,
        is_own_host={f"{LOOPBACK}:{port}", f"localhost:{port}"}.__contains__,
        other_host="This page is only for the machine that it runs on.",
        refusal=refusal,
    )


def _is_small_json(headers: Mapping[str, str]) -> bool:
    length = headers.get("content-length", "")
    return headers.get("content-type", "") == "application/json" and length.isdecimal() and int(length) <= MAX_BODY
