"""Projects with unlabelled rows, and pages of them in this process, without a browser."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from stages.common import params
from stages.labelling import server, snapshot
from stages.labelling.queues import Queues
from stages.labelling.session import Session
from stages.labelling.worker import Worker
from tests.pictures import encoded
from tests.projects import TFIDF, make_project, run_stages, set_params

PIXELS: dict[str, object] = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}
TOKEN, PORT = "secret", 8000
WORDS = {"fruit": "apple pear plum cherry", "tool": "hammer saw drill pliers", "bird": "robin wren finch gull"}


def texts(path: Path, rows: int, labelled: int, *, odd: dict[int, str] | None = None) -> None:
    """Write a table of texts of three classes, of which the first `labelled` rows have labels; `odd`: other texts."""
    generator = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        for row in range(rows):
            label = [*WORDS][row % 3]
            filler = " ".join(f"w{word}" for word in generator.integers(0, 300, 3))
            text = (odd or {}).get(row, f"{generator.choice(WORDS[label].split())} {filler} {row}")
            out.writerow([text, label if row < labelled else ""])


def make_texts(folder: Path, rows: int = 120, labelled: int = 30, odd: dict[int, str] | None = None) -> None:
    """Make a project of texts with vectors."""
    make_project(folder)
    texts(folder / "data/rows.csv", rows, labelled, odd=odd)
    set_params(folder, prepare__data="data/rows.csv", prepare__label="label", **TFIDF)
    run_stages(folder, "prepare", "extract")


def make_many_classes(folder: Path) -> None:
    """Make a project of twelve classes."""
    make_project(folder)
    generator = np.random.default_rng(0)
    lines = []
    for row in range(160):
        filler = " ".join(f"w{word}" for word in generator.integers(0, 60, 4))
        lines.append(f"word{row % 12} {filler} {row},{'' if row > 60 else f'class {row % 12:02}'}")
    (folder / "data/rows.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    set_params(folder, prepare__data="data/rows.csv", prepare__label="label", **TFIDF)
    run_stages(folder, "prepare", "extract")


def make_pictures(folder: Path) -> None:
    """Make a project of red and blue pictures, and a folder of unlabelled ones."""
    make_project(folder)
    generator = np.random.default_rng(0)
    for name, count in (("red", 4), ("blue", 4), ("unlabelled", 12)):
        (folder / "data/pictures" / name).mkdir(parents=True)
        for number in range(count):
            values = generator.integers(0, 200, (24, 32, 3), dtype=np.uint8)
            values[..., 0 if name == "red" or number % 2 else 2] += 55
            path = folder / f"data/pictures/{name}/{name}{number}.jpg"
            path.write_bytes(encoded(Image.fromarray(values), "JPEG"))
    set_params(folder, prepare__data="data/pictures", **PIXELS)
    run_stages(folder, "prepare", "extract")


class Desk:
    """A session, its background work, which is done when `learn` is called, and a client that speaks for tabs."""

    def __init__(self, project: Path, *, queues: Queues | None = None) -> None:
        self.project, self.labels = project, project / "data/labels.csv"
        self.session = Session(self._take()[0], self.labels, counts=True, queues=queues)
        self._worker = Worker(self.session, stamp=lambda: snapshot.stamp(*self._folders()), renew=self._take)
        app = server.application(self.session, token=TOKEN, port=PORT)
        self.client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers={"x-token": TOKEN})

    def _folders(self) -> tuple[Path, Path]:
        return self.project / "data/prepared", self.project / "data/features"

    def _take(self) -> tuple[snapshot.Snapshot, bool]:
        return snapshot.take(*self._folders(), params.load(self.project / "params.yaml").prepare), True

    def learn(self) -> None:
        self._worker.step()

    def start(self) -> None:
        """Do the background work in a thread from now on."""
        self._worker.start()

    def post(self, path: str, tab: str = "one", queue: str = "suggested", **body: Any) -> Any:
        """What the server answers, of JSON."""
        answer = self.client.post(path, json={"tab": tab, "queue": queue, **body})
        assert answer.status_code in (200, 409, 503), answer.text
        return answer.json()

    def view(self, tab: str = "one", queue: str = "suggested") -> Any:
        return self.post("/view", tab, queue)

    def label(self, label: str, tab: str = "one", queue: str = "suggested") -> Any:
        """Label the row that the tab shows, and give the answer."""
        return self.post("/label", tab, queue, id=self.view(tab, queue)["row"]["id"], label=label)

    def stored(self) -> list[dict[str, str]]:
        """The lines of the file of labels."""
        with self.labels.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
