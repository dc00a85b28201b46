"""Material: taking some photos takes all that belongs to them."""

from dataclasses import replace

import numpy as np

from beedex.training.backbone.taps import Block
from beedex.training.recipes.finetune import Activations, split_backbone
from beedex.training.recipes.material import TailMaterial

BLOCKS = (Block("mixed8", "mean"), Block("mixed10", "mean"))


def test_taken_photos_keep_their_features_labels_groups_and_activations(draw_material, build_inception) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 30)
    material = draw_material(labels, [f"group {i // 2}" for i in range(30)], signals=dict.fromkeys(BLOCKS, 1), views=2)
    split = split_backbone(build_inception(), BLOCKS, unfreeze_from="mixed9")
    width = sum(int(np.prod(shape)) for shape in split.shapes)
    records = generator.random((33, 2, width), dtype=np.float32)
    activations = Activations(records=records, numbers=np.arange(30) + 3, shapes=split.shapes)
    material = replace(material, tail=TailMaterial(split=split, activations=activations))
    chosen = (labels != 1) & (generator.random(30) < 0.6)

    taken = material.take(chosen)

    numbers = np.flatnonzero(chosen)
    assert taken.labels.tolist() == labels[numbers].tolist()
    assert taken.groups == tuple(f"group {i // 2}" for i in numbers)
    assert taken.families == material.families  # though nothing is left of one of them
    for view in range(2):
        np.testing.assert_array_equal(taken.features.matrix(view), material.features.matrix(view)[numbers])
    places, views = np.arange(len(numbers)), np.ones(len(numbers), np.int64)
    for part, whole in zip(taken.tail.activations.take(places, views), activations.take(numbers, views), strict=True):
        np.testing.assert_array_equal(part, whole)
    assert taken.grams.photos.tolist() == places.tolist()


def test_material_without_choice_and_tail_stays_so(draw_material) -> None:
    material = replace(draw_material(np.array([0, 0, 1, 1])), grams=None)

    taken = material.take(np.array([True, False, True, True]))

    assert taken.grams is None
    assert taken.tail is None
