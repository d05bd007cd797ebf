"""Partitions of patients from the embeddings of several encoders, whose spaces have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.evaluation import partition
from reperfuse.evaluation.inputs import Floats
from reperfuse.evaluation.partition import Labels, Partition
from reperfuse.studies.fusion.represent import represent

FINAL = "final"
CONSENSUS = "consensus"
Codes = Mapping[str, Floats]


@dataclass(frozen=True)
class Clustered:
    """Strata, and the partition of each encoder that they come from.

    Parameters
    ----------
    source : str
        ``consensus``, or the encoder that the strata are of.
    strata : Partition
    similarity : array, shape (n, n)
        What the strata were found in: how often two are together, or the negative squared distance.
    parts : mapping
        Source → partition of each encoder.
    points, similarities : mapping
        Source → points (n, components) and their similarities (n, n).
    """

    source: str
    strata: Partition
    similarity: Floats
    parts: Mapping[str, Partition]
    points: Mapping[str, Floats]
    similarities: Mapping[str, Floats]

    @property
    def members(self) -> tuple[str, ...]:
        """The encoders in which anything was found; of the others everybody is together in the consensus."""
        if self.source != CONSENSUS:
            return (self.source,)
        return tuple(name for name, one in self.parts.items() if name != FINAL and one.n > 1)


def clustered(codes: Codes, strata: Mapping[str, Any], *, seed: int) -> Clustered:
    """Find strata by affinity propagation.

    Embeddings of different encoders are never put together. For ``consensus`` every fold's encoder gives a partition
    of everybody, and how often two patients are together is the similarity that is clustered again (evidence
    accumulation, Fred and Jain 2005, doi 10.1109/TPAMI.2005.113). An encoder that finds no strata says that everybody
    is together, and where fewer than half find any, there are none. With fewer than two encoders, or for ``final``,
    strata are those of one.

    Parameters
    ----------
    codes : mapping
        ``fold-1`` … and ``final`` → (n, k), everybody under each.
    strata : mapping
        ``studies.fusion.strata``.
    seed : int

    Raises
    ------
    ValueError
        There are no embeddings.
    """
    if not codes:
        raise ValueError("codes is empty; expected the embedding of one encoder at least.")
    points, similarities, parts = {}, {}, {}
    for source, one in codes.items():
        points[source] = represent(one, strata, seed=seed_of(seed, "chance", source)).of(one)
        similarities[source] = partition.similarity_of(points[source])
        parts[source] = best(similarities[source], strata, seed=seed)
    folds = [source for source in codes if source != FINAL]
    if strata["of"] == CONSENSUS and len(folds) > 1:
        n_found = sum(parts[source].n > 1 for source in folds)
        n = len(next(iter(points.values())))
        enough = 2 * n_found >= len(folds)
        together = partition.co_assignment([parts[s].labels for s in folds]) if enough else np.ones((n, n))
        return Clustered(CONSENSUS, best(together, strata, seed=seed), together, parts, points, similarities)
    source = FINAL if FINAL in codes else folds[0]
    return Clustered(source, parts[source], similarities[source], parts, points, similarities)


def best(similarity: Floats, strata: Mapping[str, Any], *, seed: int) -> Partition:
    """Return the partition that the section's grid gives."""
    return partition.best_partition(
        similarity,
        damping=strata["damping"],
        preference=strata["preference"],
        max_iter=strata["max_iter"],
        smallest=strata["smallest"],
        seed=seed,
    )


def again(one: Clustered, chosen: Labels, *, max_iter: int, seed: int) -> Labels | None:
    """Return the labels (n,) of everybody when only some rows are clustered, with the settings that were chosen.

    The preference is that of the whole, in proportion to the patients. Others go to the exemplar that is most like
    them. None where the strata do not settle.
    """
    if one.source == CONSENSUS:
        found = [
            labels
            for source in one.members
            if (labels := _repeated(one.similarities[source], one.parts[source], chosen, max_iter, seed))
            is not None
        ]
        if not found:
            return None
        none = [part.labels for source, part in one.parts.items() if source != FINAL and part.n < 2]
        return _repeated(partition.co_assignment([*found, *none]), one.strata, chosen, max_iter, seed)
    return _repeated(one.similarity, one.strata, chosen, max_iter, seed)


def _repeated(similarity: Floats, was: Partition, chosen: Labels, max_iter: int, seed: int) -> Labels | None:
    if was.setting is None:
        return None
    level = partition.level_of(similarity, was.setting.preference)
    if level is not None:
        # A cluster costs as much for many patients as for few, while what it brings grows with them: the cost of
        # the whole cohort would leave a part of it with fewer clusters.
        level = similarity.max() + (level - similarity.max()) * len(chosen) / len(similarity)
    part = similarity[np.ix_(chosen, chosen)]
    _, exemplars, _, why = partition.propagate(part, was.setting.damping, level, max_iter=max_iter, seed=seed)
    return None if why else partition.nearest(similarity, chosen[exemplars])
