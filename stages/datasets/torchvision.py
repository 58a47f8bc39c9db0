"""Data sets of torchvision with one class per image, written as folders of images."""

import inspect
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.common.errors import HeadstartError, counted, did_you_mean, one_line
from stages.datasets import CHECK_NETWORK, FETCH_TIMEOUT_SECONDS

# Those that torchvision can still download by itself.
NAMES = (
    *("CIFAR10", "CIFAR100", "Caltech101", "Caltech256", "Country211", "DTD", "EuroSAT", "FGVCAircraft"),
    *("FashionMNIST", "Flowers102", "Food101", "GTSRB", "Imagenette", "KMNIST", "MNIST", "OxfordIIITPet", "PCAM"),
    *("QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397", "SVHN", "USPS"),
)
# torchvision's names of the splits; trainval contains train, so it is used only where there is no train.
TORCHVISION_SPLITS = {"train": ("train", "trainval"), "validation": ("val", "valid"), "test": ("test",)}


def write(name: str, *, target: Path, downloads: Path) -> str:
    """Write the images as `target`/SPLIT/CLASS/00000.png, …, and return a summary.

    Args:
        name: a class of torchvision.datasets.
        target: folder for the images.
        downloads: folder for what torchvision downloads and unpacks.

    Raises:
        HeadstartError: `name` is not one of `NAMES`, or cannot be downloaded.
    """
    from torchvision import datasets

    if name not in NAMES:
        raise HeadstartError(
            f"torchvision:{name} cannot be fetched, because it has no download or not one class per image; use one of"
            f" {', '.join(NAMES)}{did_you_mean(name, NAMES)}"
        )
    counts, labels = [], set()
    for split, dataset in _splits(getattr(datasets, name), downloads):
        classes = _folder_names(getattr(dataset, "classes", None) or getattr(dataset, "categories", None) or ())
        for row in tqdm(range(len(dataset)), desc=f"fetch {split}", unit=" images", disable=None):
            image, number = dataset[row]
            label = classes[int(number)] if classes else str(int(number))
            labels.add(label)
            (target / split / label).mkdir(parents=True, exist_ok=True)
            # A JPEG can be CMYK, which PNG cannot hold.
            (image.convert("RGB") if image.mode == "CMYK" else image).save(target / split / label / f"{row:05d}.png")
        counts.append(f"{len(dataset):,} {split}".strip())
    return f"{', '.join(counts)} images in {counted(len(labels), 'class', 'classes')}"


def _splits(dataset_class: Any, downloads: Path) -> Iterator[tuple[str, Any]]:
    """Yield (split, data set); the split is empty if torchvision does not divide this data set."""
    parameters = inspect.signature(dataset_class).parameters
    if "train" in parameters:
        yield "train", _download(dataset_class, downloads, train=True)
        yield "test", _download(dataset_class, downloads, train=False)
    elif "split" in parameters:
        for split, names in TORCHVISION_SPLITS.items():
            candidates = (_download(dataset_class, downloads, split=name) for name in names)
            if dataset := next(filter(None, candidates), None):
                yield split, dataset
    else:
        yield "", _download(dataset_class, downloads)


def _download(dataset_class: Any, downloads: Path, **split: Any) -> Any:
    """Return the data set, or None if it has no such split."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT_SECONDS)  # without it, torchvision waits for ever
    try:
        return dataset_class(str(downloads), download=True, **split)
    except Exception as error:  # data sets raise errors of their own for network, archive and missing packages
        if str(error).startswith("Unknown value"):
            return None
        address = getattr(dataset_class, "url", getattr(dataset_class, "_URL", "its source"))
        raise HeadstartError(
            f"{dataset_class.__name__} from {address} cannot be downloaded ({one_line(error)}); {CHECK_NETWORK}"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)


def _folder_names(classes: Iterable[Any]) -> list[str]:
    """Turn class names into distinct folder names without slashes and leading dots."""
    names = [str(name[0] if isinstance(name, tuple) else name) for name in classes]  # Imagenette has synonyms
    safe = [re.sub(r"[/\\\x00-\x1f]", "_", name).strip().lstrip(".") for name in names]
    return [name if name and safe.count(name) == 1 else f"{name}_{row}" for row, name in enumerate(safe)]
