"""Data sets of torchvision."""

import gzip
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from stages.common.errors import HeadstartError
from stages.datasets.torchvision import NAMES
from stages.fetch import fetch
from tests.datasets.sources import lines_printed, pixels
from tests.http_servers import server
from tests.projects import NO_HUB, contents


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: two zeros, unsigned bytes, dimensions, lengths, values."""
    lengths = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, np.ndarray]]:
    """A FashionMNIST of five images, whose download goes to loopback."""
    drawn = np.random.default_rng(3)
    arrays = {
        "train-images-idx3-ubyte": drawn.integers(0, 256, (3, 28, 28)),
        "train-labels-idx1-ubyte": np.array([0, 9, 0]),
        "t10k-images-idx3-ubyte": drawn.integers(0, 256, (2, 28, 28)),
        "t10k-labels-idx1-ubyte": np.array([5, 0]),
    }
    files = {f"/{name}.gz": idx(array) for name, array in arrays.items()}
    digests = [(name[1:], hashlib.md5(body).hexdigest()) for name, body in files.items()]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", digests)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(lambda path: (200, {}, files[path])) as address:
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"{address}/"])
        yield arrays


def test_images_of_torchvision_are_sorted_into_split_and_class(
    tmp_path: Path, fashion: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "fashion"
    fetch("torchvision:FashionMNIST", target)
    wanted = {
        "train/T-shirt_top/00000.png": fashion["train-images-idx3-ubyte"][0],
        "train/Ankle boot/00001.png": fashion["train-images-idx3-ubyte"][1],
        "train/T-shirt_top/00002.png": fashion["train-images-idx3-ubyte"][2],
        "test/Sandal/00000.png": fashion["t10k-images-idx3-ubyte"][0],
        "test/T-shirt_top/00001.png": fashion["t10k-images-idx3-ubyte"][1],
    }
    assert set(contents(target)) == set(wanted)
    for name, image in wanted.items():
        np.testing.assert_array_equal(pixels(target / name), image)
    assert list(tmp_path.iterdir()) == [target], "and the downloads are gone"
    printed = lines_printed(capsys)
    assert printed[0] == f"fetch: torchvision:FashionMNIST -> {target}: 3 train, 2 test images in 3 classes"
    assert printed[1:] == [f"next: dvc add {target}", f"next: in params.yaml set prepare.data: {target}"]


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [("MNIST", "mirrors", [f"{NO_HUB}/mnist/"]), ("SEMEION", "url", f"{NO_HUB}/semeion.data")],
)
def test_a_download_that_fails_leaves_nothing_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, value: object
) -> None:
    monkeypatch.setattr(getattr(torchvision.datasets, name), attribute, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = rf"{name} from .*{NO_HUB}/{name.lower()}.*refused.*check the network, or run this on a machine"
    with pytest.raises(HeadstartError, match=message) as error:
        fetch(f"torchvision:{name}", tmp_path / "target")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


class Splits:
    """A data set of torchvision as it can be called: two pictures in the splits that `known` lists."""

    known: tuple[str, ...] = ("trainval", "val", "test")
    classes: tuple[object, ...] = (("tench", "Tinca tinca"), "../up", "...", "twin/a", "twin_a")

    def __init__(self, root: str, split: str, download: bool = False) -> None:
        assert download and Path(root).is_dir()
        if split not in self.known:
            raise ValueError(f"Unknown value '{split}' for argument split. Valid values are {self.known}.")

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        return Image.new("CMYK", (2, 2), (0, 255, 255, 0)), row


def test_splits_are_tried_by_their_names_and_classes_made_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", Splits)
    fetch("torchvision:OxfordIIITPet", tmp_path / "pets")
    folders = ["tench", "_up", "_2", "twin_a_3", "twin_a_4"]
    wanted = {
        f"{split}/{name}/{row:05d}.png" for split in ("train", "validation", "test") for row, name in enumerate(folders)
    }
    assert set(contents(tmp_path / "pets")) == wanted
    assert pixels(tmp_path / "pets/train/tench/00000.png")[0, 0].tolist() == [255, 0, 0], "CMYK becomes RGB"


def test_a_data_set_without_splits_and_names_gets_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def __init__(self, root: str, download: bool = False) -> None:
            pass

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> tuple[Image.Image, np.int64]:
            return Image.new("L", (2, 2), row), np.int64(10 - row)

    monkeypatch.setattr(torchvision.datasets, "SEMEION", Plain)
    fetch("torchvision:SEMEION", tmp_path / "plain")
    assert set(contents(tmp_path / "plain")) == {"10/00000.png", "9/00001.png"}


@pytest.mark.parametrize(
    ("name", "meant"), [("cifar10", "CIFAR10"), ("FashonMNIST", "FashionMNIST"), ("CocoDetection", None), ("os", None)]
)
def test_unknown_names_of_torchvision_are_refused_with_the_nearest_name(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    with pytest.raises(
        HeadstartError, match=rf"torchvision:{name} cannot be fetched.*; use one of CIFAR10, .*, USPS"
    ) as error:
        fetch(f"torchvision:{name}", tmp_path / "target")
    assert str(error.value).endswith(f"; did you mean {meant}?" if meant else "USPS")
    assert not list(tmp_path.iterdir())


def test_every_data_set_on_offer_exists_in_torchvision() -> None:
    for name in NAMES:
        dataset = getattr(torchvision.datasets, name)
        needed = [
            parameter.name
            for parameter in inspect.signature(dataset).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        ]
        assert needed == ["root"], name
        assert "download" in inspect.signature(dataset.__init__).parameters or name == "QMNIST"
