from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from reperfuse.core.errors import ConfigError
from reperfuse.core.provenance import digest, file_digest
from reperfuse.evaluation.bundle import ARRAYS, CARD, read_bundle, write_bundle

WEIGHTS = {"rule.weight": np.array([0.25, -1.5]), "J0:mri.mean": np.arange(3, dtype=np.float32)}
ABOUT = {"study": "outcome", "intercept": 0.1, "blocks": [{"columns": ["a", "b"]}], "note": "µ – n/a"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "J0_mri", WEIGHTS, ABOUT)
    return tmp_path / "J0_mri"


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_bundle(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 400
    assert str(folder.parent) not in sentence
    return sentence


def forge(folder: Path) -> None:
    """Make a card fit whatever stands in the place of the arrays, as only somebody who means it would."""
    card = json.loads((folder / CARD).read_text())
    del card["digest"]
    card["arrays"] = file_digest(folder / ARRAYS)
    (folder / CARD).write_text(json.dumps({**card, "digest": digest(card)}))


def test_what_was_written_comes_back(folder: Path) -> None:
    arrays, card = read_bundle(folder)
    assert set(arrays) == set(WEIGHTS)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert {key: card[key] for key in ABOUT} == ABOUT
    assert {path.name for path in folder.iterdir()} == {ARRAYS, CARD}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    array=hnp.arrays(np.float64, hnp.array_shapes(max_side=4), elements=st.floats(allow_nan=False)),
    number=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(max_size=5),
)
def test_any_numbers_and_words_come_back(tmp_path: Path, array: np.ndarray, number: float, text: str) -> None:
    write_bundle(tmp_path, {"a": array.T}, {"number": number, "text": text, "pair": (1, 2)})
    arrays, card = read_bundle(tmp_path)
    np.testing.assert_array_equal(arrays["a"], array.T)
    assert (card["number"], card["text"], card["pair"]) == (number, text, [1, 2])


def test_the_same_model_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "again", dict(reversed(WEIGHTS.items())), dict(reversed(ABOUT.items())))
    for name in (ARRAYS, CARD):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_number_that_json_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_bundle(tmp_path / "x", WEIGHTS, {"intercept": float("nan")})


def test_62_changed_arrays_are_refused(folder: Path) -> None:
    content = bytearray((folder / ARRAYS).read_bytes())
    content[-1] ^= 1
    (folder / ARRAYS).write_bytes(bytes(content))
    assert "has the digest" in refusal(folder) and "J0_mri/model.safetensors" in refusal(folder)


@pytest.mark.parametrize(
    "change", [{"intercept": 0.2}, {"use": "diagnosis"}, {"arrays": "0" * 32}, {"digest": ""}]
)
def test_62_a_changed_card_is_refused(folder: Path, change: dict[str, Any]) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    assert "J0_mri/card.json is not as it was written" in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00", b'"card"', pickle.dumps({})]
)
def test_62_a_card_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    assert "J0_mri is not a frozen model" in refusal(folder)


@pytest.mark.parametrize("name", [ARRAYS, CARD])
def test_half_a_bundle_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert "expected card.json and model.safetensors" in refusal(folder)
    (folder / name).mkdir()
    assert "is not a frozen model" in refusal(folder)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def npy(mark: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Trap(mark)], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "made",
    [lambda mark: pickle.dumps(Trap(mark)), npy, lambda mark: b"", lambda mark: save(WEIGHTS)[:40]],
    ids=["pickle", "npy", "empty", "truncated"],
)
@pytest.mark.parametrize("forged", [False, True])
def test_62_what_is_no_safetensors_is_refused_and_not_run(
    folder: Path, tmp_path: Path, made: Callable[[Path], bytes], forged: bool
) -> None:
    mark = tmp_path / "ran"
    (folder / ARRAYS).write_bytes(made(mark))
    if forged:
        forge(folder)
    assert ("cannot be read" if forged else "has the digest") in refusal(folder)
    assert not mark.exists()
    trap = pickle.dumps(Trap(mark))
    pickle.loads(trap)
    assert mark.exists()  # the trap works
