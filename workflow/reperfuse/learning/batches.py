"""Batches as a training loop needs them: drawn again alike, divided among devices, cut where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from torch import Tensor

from reperfuse.core.seeds import seed_of
from reperfuse.learning.generators import seed_all


def drawn(batches: Callable[[int], Iterable[Any]], seed: int, epoch: int, skip: int) -> Iterator[Any]:
    """Yield an epoch's batches but for the first ``skip``, which are drawn too, so that the others are the same.

    Each batch is drawn with seeds of its own number: what happens between two of them does not matter.
    """
    seed_all(seed_of(seed, "epoch", epoch))
    source = iter(batches(epoch))
    for number in count():
        seed_all(seed_of(seed, "batch", epoch, number))
        try:
            batch = next(source)
        except StopIteration:
            return
        if number >= skip:
            yield batch


def size_of(batch: Any) -> int:
    """Return the number of samples.

    Raises
    ------
    ValueError
        There is no tensor, or tensors of different length.
    """
    sizes = set(_sizes(batch))
    if len(sizes) != 1:
        raise ValueError(f"tensors of a batch have {sorted(sizes)} samples; expected one number")
    return sizes.pop()


def cut(batch: Any, rows: slice) -> Any:
    """Return some samples of a batch: of tensors, or of tuples, lists and dicts of them."""
    if isinstance(batch, Mapping):
        return {name: cut(one, rows) for name, one in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(cut(one, rows) for one in batch)
    return batch[rows]


def share(size: int, rank: int, n_devices: int) -> slice:
    """Return which of ``size`` samples a device works on: neighbours, at most one more than the next device."""
    return slice(size * rank // n_devices, size * (rank + 1) // n_devices)


def _sizes(batch: Any) -> Iterator[int]:
    if isinstance(batch, Tensor):
        yield len(batch)
    else:
        for one in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _sizes(one)
