"""The digest of the code: every module counts, wherever it lies."""

import shutil
from pathlib import Path

import pytest

import stages
from stages.common import package


def test_a_change_in_any_room_or_verb_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "stages"
    shutil.copytree(Path(stages.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    digests = [package.digest()]
    monkeypatch.setattr(stages, "__file__", str(copy / "__init__.py"))
    assert package.digest() == digests[0], "the folder's path is not part of it"
    changed = [*copy.glob("*.py"), *copy.glob("*/__init__.py"), copy / "evaluation/report/plane.py"]
    assert {path.parent.name for path in changed} >= {"stages", "common", "heads", "evaluation", "report"}
    for path in changed:
        path.write_text(path.read_text("utf-8") + "\n# changed\n", "utf-8")
        digests.append(package.digest())
    (copy / "heads/other.py").touch()
    digests.append(package.digest())
    assert len(set(digests)) == len(changed) + 2
