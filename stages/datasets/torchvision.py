"""Data sets of torchvision that have one class for each image, as folders of images."""

import inspect
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.common.errors import HeadstartError, did_you_mean, one_line
from stages.datasets import ELSEWHERE, TIMEOUT_SECONDS

# Those that torchvision can still download by itself.
NAMES = (
    *("CIFAR10", "CIFAR100", "Caltech101", "Caltech256", "Country211", "DTD", "EuroSAT", "FGVCAircraft"),
    *("FashionMNIST", "Flowers102", "Food101", "GTSRB", "Imagenette", "KMNIST", "MNIST", "OxfordIIITPet", "PCAM"),
    *("QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397", "SVHN", "USPS"),
)
# What torchvision may call each split; trainval, which contains train, only where there is no train.
SPLITS = {"train": ("train", "trainval"), "validation": ("val", "valid"), "test": ("test",)}


def write(name: str, out: Path, downloads: Path) -> str:
    """Write the images of each split into folders of their classes, and tell what was written."""
    from torchvision import datasets

    if name not in NAMES:
        known = f"{', '.join(NAMES)}{did_you_mean(name, NAMES)}"
        raise HeadstartError(f"torchvision:{name} is none that has a download and a class for each image: {known}")
    counts, labels = [], set()
    for split, data in _splits(getattr(datasets, name), downloads):
        classes = _folder_names(getattr(data, "classes", None) or getattr(data, "categories", None) or ())
        for row in tqdm(range(len(data)), desc=f"fetch {split}", unit=" images", disable=None):
            image, number = data[row]
            label = classes[int(number)] if classes else str(int(number))
            labels.add(label)
            (out / split / label).mkdir(parents=True, exist_ok=True)
            # Some JPEGs are CMYK, which PNG cannot hold.
            (image.convert("RGB") if image.mode == "CMYK" else image).save(out / split / label / f"{row:05d}.png")
        counts.append(f"{len(data):,} {split}".strip())
    return f"{', '.join(counts)} images in {len(labels)} classes"


def _splits(dataset: Any, downloads: Path) -> Iterator[tuple[str, Any]]:
    """(split, data set) for each; the split is empty where torchvision knows none."""
    parameters = inspect.signature(dataset).parameters
    if "train" in parameters:
        yield "train", _downloaded(dataset, downloads, train=True)
        yield "test", _downloaded(dataset, downloads, train=False)
    elif "split" in parameters:
        for split, names in SPLITS.items():
            found = (_downloaded(dataset, downloads, split=name) for name in names)
            if data := next(filter(None, found), None):
                yield split, data
    else:
        yield "", _downloaded(dataset, downloads)


def _downloaded(dataset: Any, downloads: Path, **split: Any) -> Any:
    """The data set, or None where it has no such split."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)  # torchvision by itself waits for ever
    try:
        return dataset(str(downloads), download=True, **split)
    except Exception as error:  # of the network, the archive or a package it needs: each data set has its own
        if str(error).startswith("Unknown value"):
            return None
        what = f"{dataset.__name__} from {getattr(dataset, 'url', getattr(dataset, '_URL', 'its source'))}"
        raise HeadstartError(f"{what} cannot be downloaded ({one_line(error)}); {ELSEWHERE}") from None
    finally:
        socket.setdefaulttimeout(before)


def _folder_names(classes: Iterable[Any]) -> list[str]:
    """Names of classes that fit folders: no slashes, no leading dots, and each its own."""
    names = [str(each[0] if isinstance(each, tuple) else each) for each in classes]  # Imagenette has several for each
    safe = [re.sub(r"[/\\\x00-\x1f]", "_", name).strip().lstrip(".") for name in names]
    return [name if name and safe.count(name) == 1 else f"{name}_{row}" for row, name in enumerate(safe)]
