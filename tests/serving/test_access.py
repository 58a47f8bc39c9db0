"""Who may ask the server, and that its page asks for nothing elsewhere."""

from pathlib import Path

import pytest

from stages.serving import server
from tests.conftest import Once
from tests.serving.servers import Server, make_texts

KEY = "a-key.0"
PATHS = ("/", "/docs", "/page.js", "/openapi.json", "/healthz", "/model", "/metrics")


@pytest.fixture(scope="module")
def folder(once: Once) -> Path:
    return once("serving-texts", make_texts)


@pytest.fixture(scope="module")
def served(folder: Path) -> Server:
    return Server(folder)


@pytest.fixture(scope="module")
def locked(folder: Path) -> Server:
    return Server(folder, key=KEY, names=("Models.example",))


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/{name}" for name in sorted(server.FILES.names))])
def test_the_page_asks_for_nothing_elsewhere(served: Server, path: str) -> None:
    answer = served.client.get(path)
    headers = answer.headers
    assert answer.status_code == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store" and "unsafe" not in headers["content-security-policy"]
    assert "https:" not in answer.text and "//www." not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "<script>" not in answer.text and "style=" not in answer.text and "innerHTML" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[",
        "a b",
        "models.example",
    ],
)
def test_another_name_is_refused(served: Server, host: str) -> None:
    for path in PATHS:
        assert served.client.get(path, headers={"host": host}).status_code == 403
    answer = served.client.post("/predict", json={"inputs": "order"}, headers={"host": host})
    assert answer.status_code == 403 and "start it with --name NAME" in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "10.1.2.3:80", "[::1]:8000"])
def test_addresses_and_localhost_are_own(served: Server, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    assert served.client.post("/predict", json={"inputs": "order"}, headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["models.example", "MODELS.example:443"])
def test_a_name_that_was_given_is_own(locked: Server, host: str) -> None:
    assert locked.client.get("/healthz", headers={"host": host}).status_code == 200
    secure = {"host": host, "origin": f"https://{host}", "sec-fetch-site": "same-origin"}
    assert locked.client.get("/healthz", headers=secure).status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"}, {"origin": "https://127.0.0.1:8000"},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://localhost:8000"},
])  # fmt: skip
def test_requests_of_other_sites_are_refused(served: Server, headers: dict[str, str]) -> None:
    assert served.client.post("/predict", json={"inputs": "order"}, headers=headers).status_code == 403
    form = {"text": (None, "order")}  # which a site can send without asking the browser first
    assert served.client.post("/predict", files=form, headers=headers).status_code == 403


RIGHT = [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}, {"x-api-key": KEY}]
WRONG = [
    {},
    {"authorization": KEY},
    {"authorization": f"Basic {KEY}"},
    {"authorization": "Bearer "},
    {"x-api-key": KEY[:-1]},
]


@pytest.mark.parametrize("headers", RIGHT)
def test_the_key_opens(locked: Server, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert locked.client.post("/predict", json={"inputs": "order"}, headers=encoded).status_code == 200
    assert locked.client.get("/metrics", headers=encoded).status_code == 200


@pytest.mark.parametrize("headers", WRONG)
def test_without_the_key_nothing_of_the_data_is_shown(locked: Server, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in (
        ("POST", "/predict"),
        ("POST", "/explain"),
        ("GET", "/model"),
        ("GET", "/metrics"),
        ("GET", "/x"),
    ):
        answer = locked.client.request(method, path, headers=encoded)
        assert answer.status_code == 401 and "HEADSTART_API_KEY" in answer.json()["error"]
        assert answer.headers["www-authenticate"] == "Bearer"
    locked.models.trouble = "a sentence with a path"
    try:
        assert "path" not in locked.client.get("/healthz", headers=encoded).text
    finally:
        locked.models.trouble = ""
    assert locked.client.get("/", headers=encoded).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/server.py",
        "/..%2Fparams.yaml",
        "/%2e%2e/params.yaml",
        "/Dockerfile",
        "/README.md",
        "/redoc",
        "/static/page.js",
        "/page.js%00",
    ],
)
def test_no_other_file_is_served(served: Server, path: str) -> None:
    assert served.client.get(path).status_code == 404


def test_methods_that_a_path_does_not_have(served: Server) -> None:
    assert served.client.get("/predict").status_code == 404  # the name of no file
    assert served.client.delete("/predict").status_code == 405
    assert served.client.post("/model").status_code == 405
