"""Ask the Hugging Face hub what a model or data set holds, with a bound on every answer.

The hub's own client reads any number of pages of any size, so that a server that lists without end would fill the
memory.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

MAX_PAGES = 200  # of a list of files, 1,000 on each; the largest lists have some thousands
MAX_PAGE_BYTES = 2**24


def list_files(
    kind: Literal["models", "datasets"], name: str, revision: str, *, timeout: float
) -> tuple[str, list[str]]:
    """Return the commit of a revision, and the paths of its files.

    Args:
        name: OWNER/NAME on the hub.
        timeout: seconds to wait for the first answer; without a network it fails at once, later questions are retried.

    Raises:
        ValueError: an answer is not what a hub gives, or too long.
        Exception: one of the hub's client; its types differ between versions.
    """
    from huggingface_hub import constants, utils

    client: Any = utils  # mypy does not see what it exports
    client.validate_repo_id(name)
    api = f"{constants.ENDPOINT}/api/{kind}/{name}"
    ask_once = partial(client.get_session().stream, timeout=timeout)
    answer, _ = _get(f"{api}/revision/{quote(revision, safe='')}", ask_once)
    commit = str(answer["sha"])
    files: list[str] = []
    page: str | None = f"{api}/tree/{quote(commit, safe='')}?recursive=true"
    for _ in range(MAX_PAGES):
        if page is None:
            return commit, files
        entries, page = _get(page, client.http_stream_backoff)
        files += [str(entry["path"]) for entry in entries if entry["type"] == "file"]
    raise ValueError(f"its list of files has more than {MAX_PAGES} pages")


def _get(url: str, ask: Callable[..., AbstractContextManager[Any]]) -> tuple[Any, str | None]:
    """Get JSON from the hub.

    Args:
        ask: opens a stream of the answer, as httpx's `stream` does.

    Returns:
        The content, and the address of the next page.

    Raises:
        ValueError: it is no JSON, longer than `MAX_PAGE_BYTES`, or followed by a page of another server.
        Exception: one of the hub's client.
    """
    from huggingface_hub import constants, utils

    client: Any = utils
    content = bytearray()
    with ask("GET", url, headers=client.build_hf_headers()) as response:
        if response.is_error:
            response.read()
        client.hf_raise_for_status(response)
        for part in response.iter_bytes():
            content += part
            if len(content) > MAX_PAGE_BYTES:
                raise ValueError(f"its answer is longer than {MAX_PAGE_BYTES:,} bytes")
        following = response.links.get("next", {}).get("url")
    if following and not following.startswith(f"{constants.ENDPOINT}/"):  # it would get the user's token
        raise ValueError(f"its list of files goes on at {following}, another server")
    return json.loads(content), following
