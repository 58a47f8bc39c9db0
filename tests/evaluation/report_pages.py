"""Reports in a real browser: Debian's chromium, driven by Playwright."""

import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from tests.projects import make_project, run_stages, set_params
from tests.watched_page import WatchedPage

HOSTILE = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> <b>great</b> & \u2028"


class Opened(WatchedPage):
    """A report, and how long it took to open."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1100) -> None:
        super().__init__(browser, width=width, height=900)
        start = time.perf_counter()
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#row-list .row, #row-count")
        self.seconds = time.perf_counter() - start

    def count(self) -> int:
        """The rows that pass the filter."""
        return int(self.page.inner_text("#row-count").split()[0])


def texts(folder: Path, train: int, test: int, words: int) -> Path:
    """A table with its split; every tenth test row is labelled wrongly; the first rows of both splits are hostile."""
    generator = np.random.default_rng(0)
    names = ["red <i>", "green", "blue"]
    lines = ["text,label,split,where"]
    for row in range(train + test):
        k = row % 3
        split = "train" if row < train else "test"
        label = names[(k + 1) % 3] if split == "test" and row % 10 == 0 else names[k]
        filler = " ".join(f"w{word}" for word in generator.integers(0, 2000, words))
        hostile = HOSTILE if row in (0, 1, 2, 3, train) else ""
        text = f"{['ruby', 'leaf', 'sky'][k]} {filler} {hostile}"
        lines.append(f'"{text}",{label},{split},{"inside" if row % 2 else "outside"}')
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "rows.csv"


def evaluated(folder: Path, **changes: object) -> Path:
    """A project in `folder` with `changes` to its settings, evaluated; the path of its evaluation."""
    project = make_project(folder)
    set_params(project, **{"evaluate__bootstrap": 100, "evaluate__repeats": 2, **changes})
    return run_stages(project) / "data/evaluation"
