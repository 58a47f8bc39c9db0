"""Locks between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.common import atomic, locks
from stages.common.errors import HeadstartError
from stages.common.targets import Content
from tests.projects import ROOT, contents

CONTENT = Content("test", dict.fromkeys(("half", "whole"), lambda path: True))

HOLD = """
import sys
from pathlib import Path
from stages.common import atomic
with atomic.directory(Path(sys.argv[1]), None) as out:
    (out / "half").touch()
    print("held", flush=True)
    input()
"""


def hold(target: Path) -> "subprocess.Popen[str]":
    """Start a process that writes `target` until it gets a line."""
    command = [sys.executable, "-c", HOLD, str(target)]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def write(target: Path) -> None:
    with atomic.directory(target, CONTENT) as out:
        (out / "whole").touch()


def test_a_second_process_that_writes_a_target_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    process = hold(target)
    with pytest.raises(HeadstartError, match="is being written by another process; wait until it ends, or stop it"):
        write(target)
    write(tmp_path / "another")
    process.communicate("\n")
    assert contents(target) == {"half": b""}
    write(target)
    assert contents(target) == {"whole": b""}


def test_a_killed_process_holds_nothing_and_what_it_left_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    process = hold(target)
    process.kill()
    process.communicate()
    write(target)
    assert contents(tmp_path) == {"target/whole": b""}


def test_a_target_has_one_lock_by_whatever_path_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locks.lock_file(Path("target")) == locks.lock_file(tmp_path / "target") != locks.lock_file(Path("other"))


def test_without_a_cache_folder_nothing_is_locked_and_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    write(tmp_path / "target")
    assert contents(tmp_path / "target") == {"whole": b""}
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {tmp_path / 'target'} is not locked (") and warning.count("\n") == 1


def test_the_earlier_target_comes_back_where_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "target")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:  # as Windows does where a file of the folder is open
        if self.name == ".target.tmp":
            raise PermissionError(13, "in use", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), atomic.directory(tmp_path / "target", CONTENT) as out:
        (out / "new").touch()
    assert contents(tmp_path) == {"target/whole": b""}
