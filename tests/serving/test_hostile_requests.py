"""Whatever is sent, the server answers with a status and one sentence, and goes on."""

import asyncio
import base64
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.serving import limits
from tests.conftest import Once
from tests.serving.servers import Server, make_texts, picture

JSON = {"content-type": "application/json"}


BODIES = {
    b"": "not valid JSON",
    b"{": "not valid JSON",
    b"\xff\xfe\x00": "not valid JSON",
    b"\x00" * 100: "not valid JSON",
    b"[" * 100_000: "not valid JSON",
    b'{"inputs": ' + b"[" * 100_000: "not valid JSON",
    b'{"inputs": [' + b"9" * 100_000 + b"]}": "not valid JSON",
    b'{"inputs": [1e999e]}': "not valid JSON",
    b"[]": "the body is a list",
    b"null": "the body is null",
    b"3": "the body is a number",
    b"{}": "the body is an object",
    b'{"input": ["a"]}': "the body is an object with input",
    b'{"inputs": ["a"], "explain": true}': "the body is an object with inputs, explain",
    b'{"inputs": []}': "the request has no inputs",
    b'{"inputs": [{}]}': "input 1 has no column text",
    b'{"inputs": [{"texts": "b"}]}': "input 1 has no column text; it has texts; did you mean texts?",
    json.dumps({"inputs": [{f"text {n}": n for n in range(50_000)}]}).encode(): "input 1 has 50,000 keys",
    json.dumps({"x" * 100_000: 1}).encode(): "the body is an object with xxx",
    json.dumps({"inputs": [{"x" * 100_000: 1}]}).encode(): "input 1 has no column text",
    json.dumps({"inputs": {"\x1b[31m\n": 1}}).encode(): "input 1 has no column text",
}


@pytest.mark.parametrize(("body", "words"), BODIES.items(), ids=map(str, range(len(BODIES))))
def test_bodies_that_are_no_request(texts: Server, body: bytes, words: str) -> None:
    texts.refused(422, words, content=body, headers=JSON)
    texts.refused(422, words, path="/explain", content=body, headers=JSON)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x" * 900]
)
def test_other_types_of_bodies(texts: Server, kind: str) -> None:
    texts.refused(415, "send application/json or multipart/form-data", content=b"{}", headers={"content-type": kind})


FORMS = {
    b"": "no inputs",
    b"--x\r\n": "no inputs",
    b"x" * 1_000: "cannot be read",
    b"--x\r\n\r\nvalue\r\n--x--": "cannot be read",
    b'--x\r\nContent-Disposition: form-data; name="text"': "no inputs",
    b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"a\r\n--x--"[:1]: "no inputs",
    b"--x\r\nContent-Disposition: form-data; " + b"y" * 100_000 + b"\r\n\r\na\r\n--x--": "cannot be read",
    b'--x\r\nContent-Disposition: form-data; name="../../text"\r\n\r\na\r\n--x--': "a form field is called ../../text",
    b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n' * 5_000 + b"--x--": "cannot be read",
}  # fmt: skip


FORMS |= {b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\ncaf\xe9\r\n--x--': "not UTF-8"}


@pytest.mark.parametrize(("body", "words"), FORMS.items(), ids=map(str, range(len(FORMS))))
def test_forms_that_are_no_request(texts: Server, body: bytes, words: str) -> None:
    texts.refused(422, words, content=body, headers={"content-type": "multipart/form-data; boundary=x"})


@pytest.mark.parametrize(
    "more",
    ["", "; boundary=", "; boundary=x; charset=punycode", "; charset=utf-7; boundary=x", f"; boundary={'x' * 500}"],
)
def test_headers_of_forms(texts: Server, more: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"a" * 1_000_000 + b"\r\n--x--"
    status = 415 if "charset" in more else 422
    texts.refused(status, "form", content=body, headers={"content-type": f"multipart/form-data{more}"})


def test_too_much(texts: Server, pictures: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    texts.refused(413, "the request has 1,001 inputs; send at most 1,000", json={"inputs": ["a"] * 1_001})
    texts.refused(413, "text of input 2 is longer than 100,000 characters", json={"inputs": ["a", "b" * 100_001]})
    assert texts.predict("order " * 16_000)[0]["predicted"] == "a"
    too_many = limits.MAX_BYTES["text"] + 1
    texts.refused(413, "the body has more than 8,388,608 bytes", content=b" " * too_many, headers=JSON)
    texts.refused(413, "the body has more than", content=iter([b" " * 2**20] * 9), headers=JSON)
    texts.refused(413, "the body has more than", content=b"", headers={**JSON, "content-length": "9" * 100})
    pictures.refused(413, "the request has 101 inputs; send at most 100", json={"inputs": ["a"] * 101})
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.0)
    texts.refused(504, "send fewer rows at a time", json={"inputs": ["a"]})


def test_a_body_that_comes_too_slowly(texts: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.05)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}
    asyncio.run(texts.app({**scope, "root_path": "", "scheme": "http", "http_version": "1.1"}, receive, send))
    assert sent[0]["status"] == 408 and b"send it faster" in sent[1]["body"]


def test_no_room_for_more_bytes(once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES_AT_ONCE", 100)
    server = Server(once("serving-texts", make_texts))
    for _ in range(3):  # what was refused is given back
        server.refused(503, "hold too many bytes; send this again", json={"inputs": ["a" * 200]})
        assert server.predict("order")[0]["predicted"] == "a"


def bomb(pixels: int = 50_000) -> bytes:
    """A PNG of kilobytes that claims 2,500,000,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 10_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def hostile_pictures() -> Iterator[tuple[bytes, str]]:
    whole = picture("red", 1)
    jpeg = picture("red", 1, side=64, kind="JPEG")
    yield bomb(), "more than the 200,000,000 that the model's data was allowed"
    yield bomb(2**31 - 1), "pixels"
    yield whole[: len(whole) // 2], "cannot be decoded"
    yield jpeg[: len(jpeg) // 2], "cannot be decoded"
    yield b"\x89PNG\r\n\x1a\n", "is not an image"
    yield b"\xff\xd8\xff" + b"\0" * 100, "is not an image"
    yield b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "is not an image"
    yield b"%!PS-Adobe-3.0\n(x) run", "is not an image"
    yield b"PK\x03\x04" + b"\0" * 100, "is not an image"
    yield b"GIF89a" + b"\xff" * 50, "the image"


def test_hostile_pictures_are_rejected_one_by_one(pictures: Server) -> None:
    cases = [*hostile_pictures()]
    good = base64.b64encode(picture("blue", 5)).decode()
    rows = pictures.predict([*(base64.b64encode(content).decode() for content, _ in cases), good])
    assert rows[-1]["predicted"] == "blue"
    for (_, words), row in zip(cases, rows, strict=False):
        assert row["predicted"] is None and words in row["rejected"] and "prepare." not in row["rejected"], row


def test_names_of_files_are_shown_and_not_used(pictures: Server, tmp_path: Path) -> None:
    names = ["../../../etc/passwd", "/etc/passwd", "a" * 3_000 + ".png", "<script>.png"]
    answer = pictures.client.post("/predict", files=[("file", (name, b"no picture")) for name in names])
    assert answer.status_code == 200 and len(answer.json()["predictions"]) == len(names)
    for name, row in zip(names, answer.json()["predictions"], strict=True):
        assert row["rejected"] == f"{name} is not an image in one of the formats {row['rejected'].split('formats ')[1]}"


ODD_TEXTS = ["\0", "\ud800", "\udfff\ud800", "a\u0301" * 1_000, "\u202e", "\x1b]0;x\x07", "''\"\\", " " * 90_000]
ODD_TEXTS += ["a" * 90_000, "\U0010ffff"]


def test_odd_texts(texts: Server, mails: Server) -> None:
    rows = texts.predict(ODD_TEXTS)
    assert all((row["rejected"] is None) == (row["predicted"] is not None) for row in rows)
    assert "surrogate" in rows[1]["rejected"]
    assert len(mails.predict([{"subject": text, "body": text} for text in ODD_TEXTS])) == len(ODD_TEXTS)


NUMBERS = b'{"inputs": [NaN, Infinity, -Infinity, 1e400, -0.0, 12345678901234567890, true]}'


def test_numbers_that_are_none(texts: Server) -> None:
    answer = texts.client.post("/predict", content=NUMBERS, headers=JSON)
    reasons = [row["rejected"] for row in answer.json()["predictions"]]
    assert reasons == ["text is empty", "text is infinite", "text is infinite", "text is infinite", None, None, None]


def test_a_failing_model_fails_its_requests_alone(once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(once("serving-texts", make_texts))

    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(server.classifying.batcher, "compute", fail)
    server.refused(500, "the server failed; its terminal says why", json={"inputs": ["order"]})
    monkeypatch.undo()
    assert server.predict("order")[0]["predicted"] == "a"


def test_many_hostile_requests_at_once(texts: Server) -> None:
    """While others are served as always."""
    expected, failed = texts.predict(["order", "thanks"]), []

    def attack(number: int) -> None:
        body = [*BODIES][number % len(BODIES)]
        if texts.client.post("/predict", content=body, headers=JSON).status_code != 422:
            failed.append(number)

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    assert all(texts.predict(["order", "thanks"]) == expected for _ in range(10))
    for thread in threads:
        thread.join()
    assert not failed
