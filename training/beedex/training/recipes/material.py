"""Training material: stored numbers of labelled photos, whatever part of the network is trained on them.

Shapes: N photos.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.recipes.finetune import Activations, Split
from beedex.training.recipes.selection import BlockGrams

__all__ = ["Material", "TailMaterial"]


@dataclass(frozen=True, kw_only=True)
class TailMaterial:
    """What stage two trains on.

    Attributes:
        split: the backbone in two parts; features are of its blocks.
        activations: of the trunk, N photos.
    """

    split: Split
    activations: Activations


@dataclass(frozen=True, kw_only=True)
class Material:
    """N photos that an embedder may be trained on.

    Attributes:
        features: of the frozen backbone, for all blocks that may be chosen; view 0 is the photo as it is served.
        labels: (N,) indices into `families`.
        groups: (N,).
        families: names, sorted.
        grams: between photos, block by block; None where there is nothing to choose.
        tail: for stage two, or None.
    """

    features: Features
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    families: tuple[str, ...]
    grams: BlockGrams | None = None
    tail: TailMaterial | None = None

    def take(self, chosen: NDArray[np.bool_]) -> "Material":
        """Return the photos where *chosen* (N,) is true; families keep their numbers."""
        tail = self.tail and TailMaterial(split=self.tail.split, activations=self.tail.activations.subset(chosen))
        return Material(
            features=self.features.subset(chosen),
            labels=self.labels[chosen],
            groups=tuple(group for group, kept in zip(self.groups, chosen, strict=True) if kept),
            families=self.families,
            grams=self.grams.subset(chosen) if self.grams else None,
            tail=tail,
        )
