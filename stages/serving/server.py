"""The server's application: its paths, their limits, and its answers to what goes wrong."""

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from stages.common.errors import HeadstartError
from stages.prediction.own_words import in_own_words
from stages.serving import access, api, bodies, limits
from stages.serving.classifying import Classifying
from stages.serving.limits import RefusedError, Room, Taken
from stages.serving.metrics import Measured, Metrics
from stages.web.guard import Guard
from stages.web.page_files import PageFiles

Answer: TypeAlias = Callable[[bytes, str, float], bytes]  # of a body, its type and the deadline
FILES = PageFiles(Path(__file__).parent)
PAGES = {"/": "page.html", "/docs": "docs.html"}
PUBLIC = {*PAGES, "/openapi.json", "/healthz", *(f"/{name}" for name in FILES.names)}
PATHS = (*PUBLIC, "/predict", "/explain", "/model", "/metrics")


def application(classifying: Classifying, metrics: Metrics, *, key: str | None, names: Collection[str]) -> ASGIApp:
    """Make the application.

    Args:
        key: that requests must carry; None: none is needed.
        names: by which clients reach the server, beside `localhost` and addresses.
    """
    app = FastAPI(title="Headstart", version="1", summary=api.SUMMARY, docs_url=None, redoc_url=None)
    _refuse_in_json(app)
    _serve_state(app, classifying, metrics, key)
    _serve_answers(app, classifying)
    guard = Guard(
        app,
        is_own_host=access.own_host(names),
        other_host=access.OTHER_HOST,
        refusal=access.key_refusal(key, PUBLIC),
    )
    return Measured(guard, metrics, PATHS)


def _serve_answers(app: FastAPI, classifying: Classifying) -> None:
    """Add the paths that take rows."""
    room = Room()
    threads = anyio.CapacityLimiter(limits.MAX_REQUESTS_AT_ONCE)
    explaining = anyio.CapacityLimiter(limits.MAX_EXPLAINED_AT_ONCE)

    async def answered(request: Request, answer: Answer, limiter: anyio.CapacityLimiter) -> Response:
        deadline, content_type = time.monotonic() + limits.MAX_SECONDS, request.headers.get("content-type", "")
        bodies.kind(content_type)
        modality = classifying.models.current.card.modality
        with room.taken() as taken:
            content = await _body(request, taken, limits.MAX_BYTES[modality], deadline)
            work = partial(answer, content, content_type, deadline)
            try:
                with anyio.fail_after(deadline - time.monotonic()):  # to wait for a thread, which ends in time itself
                    return Response(await anyio.to_thread.run_sync(work, limiter=limiter), media_type=bodies.JSON)
            except TimeoutError:
                raise limits.too_late() from None

    @app.post("/predict", **api.PREDICT)
    async def predict(request: Request) -> Response:
        """Classify texts, pairs of texts or pictures, in their order."""
        return await answered(request, classifying.predict, threads)

    @app.post("/explain", **api.EXPLAIN)
    async def explain(request: Request) -> Response:
        """Classify one input, and tell which words or regions decided, and which training rows are most like it."""
        return await answered(request, classifying.explain, explaining)


async def _body(request: Request, taken: Taken, max_bytes: int, deadline: float) -> bytes:
    """Read a body.

    Raises:
        RefusedError: it is too large or comes too slowly, or there is no room for it.
    """
    too_large = RefusedError(413, f"the body has more than {max_bytes:,} bytes; send fewer rows at a time")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise too_large
    content = bytearray()
    try:
        with anyio.fail_after(deadline - time.monotonic()):
            async for chunk in request.stream():
                if len(content) + len(chunk) > max_bytes:
                    raise too_large
                taken.take(len(chunk))
                content += chunk
    except TimeoutError:
        raise RefusedError(408, f"the body took more than {limits.MAX_SECONDS:g} seconds; send it faster") from None
    except ClientDisconnect:
        raise RefusedError(400, "the body ended too early") from None
    return bytes(content)


def _serve_state(app: FastAPI, classifying: Classifying, metrics: Metrics, key: str | None) -> None:
    """Add the paths that tell of the server itself, and its pages."""
    models = classifying.models

    @app.get("/healthz", **api.HEALTH)
    def health(request: Request) -> dict[str, Any]:
        """Tell that the server answers, and why it serves an older model than its folder holds."""
        trouble = models.trouble if access.has_key(request.headers, key) else "the terminal says why"
        return {"status": "ok", "model": "old" if models.trouble else "current"} | (
            {"trouble": trouble} if models.trouble else {}
        )

    @app.get("/model", **api.MODEL)
    def model() -> dict[str, Any]:
        """Tell what the model reads and which labels it knows."""
        served = models.current
        card = served.card
        return {
            "modality": card.modality,
            "input": [card.input] if isinstance(card.input, str) else list(card.input),
            "labels": list(card.labels),
            "max_rows": limits.MAX_ROWS[card.modality],
            "max_bytes": limits.MAX_BYTES[card.modality],
            "has_training_rows": served.training_rows is not None,
        }

    @app.get("/metrics", **api.METRICS)
    def numbers() -> Response:
        """Tell numbers of requests, rows, batches and seconds, for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    def page(request: Request) -> Response:
        return FILES.response(PAGES[request.url.path])

    @app.get("/{name}", include_in_schema=False)
    def file(name: str) -> Response:
        return FILES.response(name)


def _refuse_in_json(app: FastAPI) -> None:
    """Let every answer to what goes wrong be `{"error": sentence}`."""

    def refused(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(RefusedError)
    def refuse(_: Request, error: RefusedError) -> JSONResponse:
        return refused(error.status, error.sentence, error.headers)

    @app.exception_handler(HeadstartError)
    def fail(_: Request, error: HeadstartError) -> JSONResponse:
        return refused(500, in_own_words(str(error)))

    @app.exception_handler(HTTPException)
    def refuse_path(_: Request, error: HTTPException) -> JSONResponse:
        return refused(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    def fail_unexpectedly(_: Request, __: Exception) -> JSONResponse:
        return refused(500, "the server failed; its terminal says why")
