"""Versions of libraries in which data runs code are not installed. The other tests here refuse such data."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.projects import ROOT

AFFECTED = [  # the last version before the one with the fix
    ("transformers", "5.2.0", "CVE-2026-4372: config.json names attention code on the hub"),
    ("transformers", "5.4.0", "CVE-2026-5241: a LightGlue model allows the code of its parts"),
    ("transformers", "5.9.0", "CVE-2026-9856: names of chat templates are paths to write to"),
    ("peft", "0.19.1", "peft#3085: adapter_config.json names a module to import"),
    (
        "skops",
        "0.12.0",
        "CVE-2025-54412, CVE-2025-54413, CVE-2025-54886: hidden calls, a pickle in place of an archive",
    ),
    ("skops", "0.14.0", "skops#536: an archive calls any member of numpy.random"),
    ("pillow", "12.3.0", "CVE-2026-112403: a JPEG overflows a buffer; TIFFs read beyond one"),
]


@pytest.mark.parametrize(("name", "version", "reason"), AFFECTED)
def test_affected_versions_are_below_the_bounds(name: str, version: str, reason: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = {requirement.name: requirement for requirement in map(Requirement, project["dependencies"])}
    assert not requirements[name].specifier.contains(version), reason
    tried = dict(line.split("==") for line in (ROOT / ".ci/constraints.txt").read_text("utf-8").splitlines())
    assert Version(tried[name]) > Version(version), reason
