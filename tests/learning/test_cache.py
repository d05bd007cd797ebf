from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from reperfuse.learning.cache import get, key_of_embedding, put

KEY = key_of_embedding("input", {"shape": [24, 256, 256], "clip": 3000.0}, "weights")


def only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.safetensors")
    return path


def test_a_vector_comes_back_as_it_was_and_leaves_nothing_else(tmp_path: Path) -> None:
    vector = np.random.default_rng(0).standard_normal(2048).astype(np.float32)
    assert get(tmp_path, KEY) is None
    put(tmp_path, KEY, vector)
    np.testing.assert_array_equal(get(tmp_path, KEY), vector)
    written = only_file(tmp_path).read_bytes()
    put(tmp_path, KEY, vector)
    assert only_file(tmp_path).read_bytes() == written
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_the_key_depends_on_all_that_changes_the_vector_and_on_nothing_else() -> None:
    settings = {"clip": 3000.0, "shape": (24, 256, 256)}
    assert key_of_embedding("input", settings, "weights") == KEY
    others = {
        key_of_embedding("other", settings, "weights"),
        key_of_embedding("input", {**settings, "clip": 2000.0}, "weights"),
        key_of_embedding("input", settings, "other"),
    }
    assert len(others | {KEY}) == 4


@pytest.mark.parametrize("keep", [0, 1, 7, 40, 500, 8000])
def test_a_truncated_file_is_dropped_and_written_again(tmp_path: Path, keep: int) -> None:
    vector = np.ones(2048, np.float32)
    put(tmp_path, KEY, vector)
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert get(tmp_path, KEY) is None
    assert not path.exists()
    put(tmp_path, KEY, vector)
    np.testing.assert_array_equal(get(tmp_path, KEY), vector)


@pytest.mark.parametrize(
    "content",
    [
        {"other": np.ones(3, np.float32)},
        {"embedding": np.ones((2, 2), np.float32)},
        {"embedding": np.ones(3, np.float64)},
        {"embedding": np.array([1, np.nan], np.float32)},
    ],
)
def test_what_is_no_vector_is_dropped(tmp_path: Path, content: dict[str, np.ndarray]) -> None:
    put(tmp_path, KEY, np.ones(3, np.float32))
    path = only_file(tmp_path)
    save_file(content, path)
    assert get(tmp_path, KEY) is None
    assert not path.exists()
