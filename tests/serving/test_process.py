"""The server as a process of its own, under load, and when it is told to end."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Once
from tests.projects import POSIX, ROOT
from tests.serving.servers import make_texts

CLIENTS, SECONDS = 16, 3.0


def start(project: Path, *options: str) -> tuple["subprocess.Popen[str]", int]:
    """Start a server; gives the process and the port."""
    command = [sys.executable, "-m", "stages.serve", "data/head", "--port", "0", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = next(match[1] for line in process.stdout if (match := re.search(r"http://\S+:(\d+)/", line)))
    return process, int(port)


class Client:
    """A client that keeps its connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def predict(self, inputs: list[str]) -> tuple[int, object]:
        body = json.dumps({"inputs": inputs})
        self.connection.request("POST", "/predict", body, {"content-type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.slow
@POSIX
def test_load_hostile_clients_and_a_graceful_end(once: Once) -> None:
    process, port = start(once("serving-texts", make_texts))
    expected, failures, requests = Client(port).predict(["order", "thanks 7"]), [], [0] * CLIENTS
    assert expected[0] == 200
    end = time.monotonic() + SECONDS

    def ask(number: int) -> None:
        client = Client(port)
        while time.monotonic() < end:
            answer = client.predict(["order", "thanks 7"])
            requests[number] += 1
            if answer != expected:
                failures.append(answer)

    def disturb() -> None:
        while time.monotonic() < end:
            for content in (b"POST /predict HTTP/1.1\r\nhost: x", b"\x00\xff" * 500, b"GET " + b"/" * 99_999, b""):
                with socket.create_connection(("127.0.0.1", port)) as rude:
                    rude.sendall(content)
            time.sleep(0.02)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    time.sleep(1)
    before = psutil.Process(process.pid).memory_info().rss
    for thread in threads:
        thread.join()
    assert not failures and min(requests) > 1
    assert psutil.Process(process.pid).memory_info().rss < before + 50_000_000

    late: list[tuple[int, object]] = []
    inputs = ["order " * 400] * 1_000  # takes a while
    asking = threading.Thread(target=lambda: late.append(Client(port).predict(inputs)))
    asking.start()
    time.sleep(0.3)  # until it is accepted
    process.send_signal(signal.SIGTERM)
    asking.join()
    out, errors = process.communicate(timeout=30)
    assert late[0][0] == 200, "what was asked before is answered"
    assert process.returncode == 0 and "rows answered in" in out, out + errors


@pytest.mark.slow
@POSIX
def test_ctrl_c_ends_it_too(once: Once) -> None:
    process, _ = start(once("serving-texts", make_texts))
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "0 rows answered" in out and not errors
