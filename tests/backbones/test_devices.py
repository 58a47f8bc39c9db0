"""The device that a network runs on."""

import sys
from pathlib import Path

import pytest

from stages.backbones import devices
from stages.common.params import RuntimeParams

VERSION = "cuda: Optional[str] = {}\nhip: Optional[str] = None\nxpu: Optional[str] = None\n"


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_type_is_that_of_the_chosen_device(device: str) -> None:
    runtime = RuntimeParams(device=device)
    assert devices.chosen_type(runtime) == devices.choose(runtime).type


@pytest.mark.parametrize(
    ("machine", "asked"),
    [
        (("linux", "'13.0'", []), False),
        (("linux", "'13.0'", ["nvidia0"]), True),
        (("linux", "'13.0'", ["dxg"]), True),
        (("linux", "None", ["nvidia0", "kfd"]), False),
        (("linux", "'13.0'", ["kfd"]), False),
        (("win32", "None", []), False),
        (("win32", "'13.0'", []), True),
        (("darwin", "None", []), True),
    ],
)
def test_torch_is_asked_only_where_it_may_have_an_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: tuple[str, str, list[str]], asked: bool
) -> None:
    platform, cuda, device_files = machine
    (tmp_path / "version.py").write_text(VERSION.format(cuda), "utf-8")
    for name in device_files:
        (tmp_path / name).touch()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.setattr(devices, "_torch_folder", lambda: tmp_path)
    assert devices._may_have_accelerator() is asked
    (tmp_path / "version.py").unlink()
    if platform != "linux" or device_files:
        assert devices._may_have_accelerator(), "of an unknown build"
