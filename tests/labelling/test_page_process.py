"""The page as a process of its own: killed, stopped and started again."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.conftest import Once, copy
from tests.labelling.desks import Desk, make_texts
from tests.labelling.pages import Tab
from tests.projects import POSIX, ROOT


def start(project: Path) -> tuple["subprocess.Popen[str]", str]:
    """Start the page; gives the process and the address."""
    command = [sys.executable, "-m", "stages.label", "--no-browser"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = next(match[0] for line in process.stdout if (match := re.search(r"http\S+", line)))
    return process, address


@pytest.mark.slow
@POSIX
def test_a_kill_loses_nothing_and_the_page_goes_on(tmp_path: Path, once: Once, browser: Browser) -> None:
    desk = Desk(copy(once("labelling-texts", make_texts), tmp_path / "project"))
    process, address = start(desk.project)
    tab = Tab(browser, address)
    shown = []
    for _ in range(3):
        shown.append(tab.source)
        tab.press("2")
        process_lines = len(desk.stored())  # at once, not at the end
        assert process_lines == len(shown)
    process.kill()
    process.wait()
    process, address = start(desk.project)
    again = Tab(browser, address)
    assert again.page.inner_text("#count") == "3 labels"
    for _ in range(10):
        assert again.source not in shown
        shown.append(again.source)
        again.press("1")
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "label: 10 new labels -> data/labels.csv" in rest
    assert len({line["id"] for line in desk.stored()}) == 13
