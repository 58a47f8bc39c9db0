"""Only the page itself talks to its server."""

import pytest
from starlette.testclient import TestClient

from stages.labelling import server
from tests.conftest import Once
from tests.labelling.desks import PORT, TOKEN, Desk, make_texts

OWN = f"http://127.0.0.1:{PORT}"
ASK = {"tab": "one", "queue": "random"}


@pytest.fixture(scope="module")
def shared_desk(once: Once) -> Desk:
    """One that no test labels with."""
    return Desk(once("labelling-texts", make_texts))


@pytest.fixture
def client(shared_desk: Desk) -> TestClient:
    return shared_desk.client


@pytest.mark.parametrize("path", ["/", *(f"/{name}" for name in sorted(server.FILES.names - {server.PAGE}))])
def test_the_page_asks_for_nothing_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    headers = answer.headers
    assert answer.status_code == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store" and "unsafe" not in headers["content-security-policy"]
    assert "https:" not in answer.text and "//www." not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "<script>" not in answer.text and "style=" not in answer.text and "innerHTML" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:8000", ""]
)
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/page.css"):
        assert client.get(path, headers={"host": host}).status_code == 403
    assert client.post("/view", json=ASK, headers={"host": host}).status_code == 403


def test_localhost_is_this_machine(client: TestClient) -> None:
    headers = {"host": f"localhost:{PORT}", "origin": f"http://localhost:{PORT}"}
    assert client.post("/view", json=ASK, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
    {"origin": f"https://127.0.0.1:{PORT}"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
])  # fmt: skip
def test_requests_of_other_sites_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/view", json=ASK, headers=headers).status_code == 403
    assert client.post("/view", json=ASK, headers={"origin": OWN, "sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\xe9"])
def test_without_the_token_nothing_is_shown(client: TestClient, token: str) -> None:
    headers = {"x-token": token.encode("latin-1")}
    assert client.post("/view", json=ASK, headers=headers).status_code == 403
    for path in ("/", f"/?token={token}", f"/picture/{'0' * 32}", "/nothing", "/openapi.json", "/docs"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 403 and "with its token" in answer.text
    assert client.get(f"/?token={TOKEN}", headers=headers).status_code == (403 if token else 200)


def test_the_token_is_read_from_the_address(client: TestClient) -> None:
    del client.headers["x-token"]
    try:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        assert client.post(f"/view?token={TOKEN}", json=ASK).status_code == 200
    finally:
        client.headers["x-token"] = TOKEN


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_forms_of_other_sites_are_no_answers(client: TestClient, kind: str) -> None:
    body = b'{"tab": "one", "queue": "random"}'
    assert client.post("/view", content=body, headers={"content-type": kind}).status_code == 415
    assert client.post("/view", content=iter([body]), headers={"content-type": "application/json"}).status_code == 415
    assert client.post("/view", json={**ASK, "more": "x" * 20_000}).status_code == 415


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"tab": 1, "queue": "random"}', b'{"tab": "a", "queue": "all"}']
)
def test_what_is_no_answer_is_refused_without_being_repeated(client: TestClient, body: bytes) -> None:
    answer = client.post("/view", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "nothing was stored" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/session.py", "/page.js.map", "/..%2Fparams.yaml", "/%2e%2e/params.yaml", "/docs", "/openapi.json"]
)
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
