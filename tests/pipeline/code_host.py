"""`gh` and `curl` as the workflows call them, for a host of code that is a JSON file of comments.

python code_host.py STATE gh|curl ARGUMENT ...
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BOT = {"login": "github-actions[bot]", "id": 5}  # the user of the workflows' tokens
PERSON = {"login": "somebody", "id": 6}
MARK = "<!-- headstart gate -->"


def comment(number: int, user: dict[str, Any], body: str) -> dict[str, Any]:
    """A comment as both platforms list it: GitHub has `user`, GitLab `author`."""
    return {"id": number, "user": user, "author": user, "body": body}


def change(state: Path, method: str, url: str, body: Path) -> None:
    """Add a comment, or edit the one that the address names."""
    comments = json.loads(state.read_text("utf-8"))
    text = body.read_text("utf-8")
    if method == "POST":
        comments.append(comment(len(comments) + 1, BOT, text))
    else:
        (edited,) = [each for each in comments if str(each["id"]) == url.rsplit("/", 1)[1]]
        edited["body"] = text
    state.write_text(json.dumps(comments), "utf-8")


def gh(state: Path, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["api"])
    parser.add_argument("url")
    parser.add_argument("--jq")
    parser.add_argument("--method", choices=["POST", "PATCH"])
    parser.add_argument("--field")
    parser.add_argument("--paginate", action="store_true")
    parser.add_argument("--silent", action="store_true")
    args = parser.parse_args(arguments)
    if args.method:
        name, file = args.field.split("=@")
        assert name == "body"
        change(state, args.method, args.url, Path(file))
    else:
        assert args.url == "repos/owner/name/issues/7/comments", args.url
        subprocess.run(["jq", "-r", args.jq], input=state.read_bytes(), check=True)


def curl(state: Path, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--header")
    parser.add_argument("--request", choices=["POST", "PUT"])
    parser.add_argument("--data-urlencode")
    parser.add_argument("--output")
    for flag in ("--fail", "--silent", "--show-error"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args(arguments)
    root = "https://gitlab.example.org/api/v4"
    notes = f"{root}/projects/3/merge_requests/7/notes"
    assert args.fail and args.header.startswith("PRIVATE-TOKEN: ")
    if args.request:
        assert args.url.startswith(notes)
        name, file = args.data_urlencode.split("@")
        assert name == "body"
        change(state, args.request, args.url, Path(file))
    elif args.url == f"{root}/user":
        print(json.dumps(BOT))
    else:
        assert args.url.split("?")[0] == notes
        print(state.read_text("utf-8"))


if __name__ == "__main__":
    {"gh": gh, "curl": curl}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:])
