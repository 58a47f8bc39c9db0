"""The row cache: what comes back is what was stored."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from stages.common.errors import HeadstartError
from stages.extraction import row_cache_files
from tests.extraction.row_caches import DIM, fill, names, open_cache, stored, vectors
from tests.projects import ROOT


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("dim", [1, 3, 384])  # 3: a vector that does not fill its 8-byte words
def test_vectors_come_back_in_the_order_asked_for(dtype: Literal["float16", "float32"], dim: int) -> None:
    keys = names(*range(500))
    X = vectors(keys, dim, dtype)
    with open_cache(dim=dim, dtype=dtype) as cache:
        for part in (slice(0, 100), slice(100, 101), slice(101, 500)):
            cache.put(keys[part], X[part])
    asked = np.random.default_rng(0).permutation([*range(600), 7, 7, 499, 555])  # repeated ones, and unknown ones
    with open_cache(dim=dim, dtype=dtype) as cache:
        mask, Y = cache.get(names(*asked))
    assert (mask == (asked < 500)).all()
    assert Y.dtype == dtype and Y.shape == (604, dim)
    assert (Y[mask] == X[asked[mask]]).all()


def test_the_first_vector_of_a_key_stays() -> None:
    a, b = names(1, 2)
    with open_cache() as cache:
        cache.put([a, a], np.array([[1.0] * DIM, [2.0] * DIM]))
        cache.put([a, b], np.array([[3.0] * DIM, [4.0] * DIM]))
        mask, X = cache.get([b, a])
    assert mask.all() and X[:, 0].tolist() == [4, 1]
    assert row_cache_files.info()[0][1] == 2


def test_a_put_rounds_to_the_stored_type() -> None:
    keys = names(1)
    X = np.full((1, DIM), 0.1, np.float64)
    with open_cache() as cache:
        cache.put(keys, X)
        assert (cache.get(keys)[1] == X.astype(np.float16)).all()


def test_no_rows_are_no_trouble() -> None:
    with open_cache() as cache:
        cache.put([], np.empty((0, DIM)))
        mask, X = cache.get([])
    assert mask.shape == (0,) and X.shape == (0, DIM)


def test_keys_that_share_a_half_are_never_mixed_up(capfd: pytest.CaptureFixture[str]) -> None:
    key = names(1)[0]
    keys = [key, key[:16] + "0" * 16, "0" * 16 + key[16:], "0" * 32, "f" * 32, "0" * 15 + "8" + "0" * 16]
    with open_cache() as cache:
        for _ in range(2):
            for one in keys:
                cache.put([one], vectors([one]))
                mask, X = cache.get(keys)
                assert mask[keys.index(one)] and (X[mask] == vectors(keys)[mask]).all()
    assert not capfd.readouterr().err


def test_backbones_are_kept_apart(store: Path) -> None:
    keys = fill(*range(10), fingerprint="a")
    assert not stored(keys, "b").any() and stored(keys, "a").all()
    assert {path.name for path in store.glob("*.sqlite*")} == {"a.sqlite", "b.sqlite"}


def test_an_open_cache_sees_what_another_one_stores() -> None:
    keys = names(*range(30))
    with open_cache() as one, open_cache() as other:
        one.put(keys[:10], vectors(keys[:10]))
        assert other.get(keys)[0].sum() == 10
        other.put(keys[5:20], vectors(keys[5:20]))
        one.put(keys[15:], vectors(keys[15:]))
        for cache in (one, other):
            mask, X = cache.get(keys)
            assert mask.all() and np.array_equal(X, vectors(keys))
    assert row_cache_files.info()[0][1] == 30


def test_info_and_clear(store: Path) -> None:
    assert row_cache_files.info() == [] and row_cache_files.clear() == (0, 0)
    fill(*range(1000), fingerprint="b")
    fill(*range(10), fingerprint="a")
    os.utime(store / "b.sqlite", (100, 100))
    (store / f"{'c' * 64}.sqlite").write_text("garbage", "utf-8")
    (b, a, c), sizes = row_cache_files.info(), {path.stem: path.stat().st_size for path in store.glob("*.sqlite")}
    assert b == ("b", 1000, sizes["b"], 100.0)
    assert a[:3] == ("a", 10, sizes["a"]) and a[3] == pytest.approx((store / "a.sqlite").stat().st_mtime)
    assert c[:3] == ("c" * 64, 0, 7)
    assert row_cache_files.clear() == (3, sum(sizes.values()))
    assert row_cache_files.info() == [] and not list(store.glob("*.sqlite*"))


def test_opening_a_file_is_using_it(store: Path) -> None:
    fill(1)
    os.utime(store / "f.sqlite", (100, 100))
    assert row_cache_files.info()[0][3] == 100.0
    stored(names(1))
    assert row_cache_files.info()[0][3] > 100


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "own"))
    assert row_cache_files.folder() == tmp_path / "own" / "rows"
    monkeypatch.setenv("HEADSTART_CACHE", "~/own")
    assert row_cache_files.folder() == tmp_path / "home" / "own" / "rows"
    monkeypatch.setenv("HEADSTART_CACHE", "")
    assert row_cache_files.folder() == tmp_path / "xdg" / "headstart" / "rows"
    monkeypatch.delenv("HEADSTART_CACHE")
    assert row_cache_files.folder() == tmp_path / "xdg" / "headstart" / "rows"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert row_cache_files.folder() == tmp_path / "home" / ".cache" / "headstart" / "rows"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert row_cache_files.folder() == tmp_path / "home" / ".cache" / "headstart" / "rows"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(HeadstartError, match="set HEADSTART_CACHE"):
        open_cache()


def test_the_cache_is_light_to_import() -> None:
    code = "import sys, stages.extraction.row_cache; "
    code += "print(sorted({'torch', 'pyarrow', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
