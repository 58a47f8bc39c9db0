"""Models to serve, and servers of them in this process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from stages.common.params import RuntimeParams
from stages.serving import running, served_model, server
from stages.serving.classifying import Classifying
from stages.serving.metrics import Metrics
from stages.serving.served_model import ServedModels
from stages.web.listening import LOOPBACK, address, listening
from tests.pictures import encoded
from tests.projects import TFIDF, UP_TO_HEAD, make_project, run_stages, set_params

PIXELS: dict[str, object] = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}


def make_texts(folder: Path, label: str = "b") -> None:
    """A head that tells orders from thanks by the column text."""
    make_project(folder)
    lines = ["text,label", *(f"{'order' if n % 2 else 'thanks'} {n},{'a' if n % 2 else label}" for n in range(60))]
    (folder / "data/rows.csv").write_text("\n".join(lines), "utf-8")
    set_params(folder, **TFIDF, prepare__data="data/rows.csv", prepare__label="label")
    run_stages(folder, *UP_TO_HEAD)


def make_mails(folder: Path) -> None:
    """A head that reads the columns subject and body."""
    make_project(folder)
    lines = ["subject,body,label", *(f"{'order' if n % 2 else 'thanks'} {n},dear {n},{'ab'[n % 2]}" for n in range(60))]
    (folder / "data/rows.csv").write_text("\n".join(lines), "utf-8")
    columns = {"prepare__data": "data/rows.csv", "prepare__input": ["subject", "body"], "prepare__label": "label"}
    set_params(folder, **TFIDF, **columns)
    run_stages(folder, *UP_TO_HEAD)


def make_several_labels(folder: Path) -> None:
    """A head that gives texts the labels a, b, both or none."""
    make_project(folder)
    words, labels = ("hello", "order", "thanks", "order thanks"), ([], ["a"], ["b"], ["a", "b"])
    lines = [json.dumps({"text": f"{words[n % 4]} {n}", "labels": labels[n % 4]}) for n in range(120)]
    (folder / "data/rows.jsonl").write_text("\n".join(lines), "utf-8")
    set_params(folder, **TFIDF, prepare__data="data/rows.jsonl", prepare__label="labels")
    run_stages(folder, *UP_TO_HEAD)


def make_numbers(folder: Path) -> None:
    """A head that tells how often a text says order."""
    make_project(folder)
    lines = [f"{' '.join(['order'] * (n % 7) + ['thanks'] * (7 - n % 7))} {n},{n % 7}" for n in range(140)]
    (folder / "data/rows.csv").write_text("\n".join(["text,label", *lines]), "utf-8")
    columns = {"prepare__data": "data/rows.csv", "prepare__label": "label", "prepare__task": "regression"}
    set_params(folder, **TFIDF, **columns)
    run_stages(folder, *UP_TO_HEAD)


def make_pictures(folder: Path) -> None:
    """A head that tells red from blue pictures."""
    make_project(folder)
    for name in ("red", "blue"):
        (folder / "data/pictures" / name).mkdir(parents=True)
        for number in range(20):
            (folder / f"data/pictures/{name}/{number}.png").write_bytes(picture(name, number))
    set_params(folder, prepare__data="data/pictures", **PIXELS)
    run_stages(folder, *UP_TO_HEAD)


def picture(name: str, seed: int, *, side: int = 24, kind: str = "PNG") -> bytes:
    """A noisy picture of a colour."""
    values = np.random.default_rng(seed).integers(0, 200, (side, side, 3), dtype=np.uint8)
    values[..., 0 if name == "red" else 2] += 55
    return encoded(Image.fromarray(values), kind)


class Server:
    """The application in this process, and a client of it."""

    def __init__(
        self, project: Path, *, model: str = "head", key: str | None = None, names: tuple[str, ...] = ()
    ) -> None:
        self.project, data = project, project / "data"
        self.metrics = Metrics()
        folders = (data / model, data / "features", data / "prepared")
        runtime = RuntimeParams(device="cpu")
        load = partial(served_model.load, *folders, params_file=project / "params.yaml", runtime=runtime)
        self.models = ServedModels(data / model, load, observe=self.metrics.observe_reload)
        self.classifying = Classifying(self.models, self.metrics)
        self.app = server.application(self.classifying, self.metrics, key=key, names=names)
        self.client = TestClient(self.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)

    def predict(self, inputs: Any) -> list[dict[str, Any]]:
        """What the server says of inputs in JSON."""
        body = json.dumps({"inputs": inputs})  # half a surrogate pair as an escape, which the client cannot
        answer = self.client.post("/predict", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        return predictions

    def refused(self, status: int, words: str, **request: Any) -> None:
        """Check that a request is refused, in one sentence with these words, and that the server goes on."""
        answer = self.client.post(request.pop("path", "/predict"), **request)
        assert answer.status_code == status, answer.text
        error = json.loads(answer.content)["error"]
        assert words in error and "\n" not in error and len(error) < 1_000, error
        assert self.client.get("/healthz").json()["status"] == "ok"

    def numbers(self) -> dict[str, float]:
        """What /metrics tells."""
        lines = self.client.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


@contextmanager
def listening_server(served: Server) -> Iterator[str]:
    """Serve on loopback in a thread; gives the address."""
    with listening(LOOPBACK, 0) as listener:
        running_server = uvicorn.Server(running.config(served.app))
        thread = threading.Thread(target=running_server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address(listener)
        finally:
            running_server.should_exit = True
            thread.join()
