"""What views of a photo have in common, and how far they stray."""

import numpy as np
import pytest

from beedex.index.preprocessing import fit
from beedex.training.backbone.views import AUGMENTATIONS, Augmentation, NamedAugmentation, Views, draw_views

SIDE = 99


def draw(
    image: np.ndarray, *, count: int = 6, augmentation: NamedAugmentation = "light", seed: int = 0
) -> list[np.ndarray]:
    views = Views(count=count, augmentation=AUGMENTATIONS[augmentation])
    return draw_views(image, SIDE, views, np.random.default_rng(seed))


@pytest.fixture
def image() -> np.ndarray:
    """(80, 120, 3) of coarse noise."""
    return np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)


def test_the_first_view_is_the_photo_as_served_and_the_second_its_mirror_image(image) -> None:
    views = draw(image)

    np.testing.assert_array_equal(views[0], fit(image, SIDE))
    np.testing.assert_array_equal(views[1], fit(image, SIDE)[:, ::-1])


@pytest.mark.parametrize("augmentation", ["light", "strong"])
def test_views_do_not_depend_on_how_many_follow(image, augmentation) -> None:
    many = draw(image, augmentation=augmentation)

    for count in (1, 2, 3, 5):
        few = draw(image, count=count, augmentation=augmentation)
        assert len(few) == count
        for first, second in zip(few, many, strict=False):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("augmentation", ["light", "strong"])
def test_drawn_views_differ_from_each_other_and_from_seed_to_seed(image, augmentation) -> None:
    drawn = [*draw(image, augmentation=augmentation), *draw(image, augmentation=augmentation, seed=1)[2:]]

    assert len({view.tobytes() for view in drawn}) == len(drawn)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (300, 2), (1000, 1900), (99, 99)])
@pytest.mark.parametrize("augmentation", ["light", "strong"])
def test_photos_of_any_shape_have_views(shape, augmentation) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)

    for view in draw(photo, augmentation=augmentation):
        assert view.shape == (SIDE, SIDE, 3)
        assert view.dtype == np.uint8


def test_what_turns_in_from_outside_is_the_photo() -> None:
    """A photo of one colour stays so, turned by any angle."""
    turning = Augmentation(rotation_deg=180.0)
    white = np.full((200, 40, 3), 255, np.uint8)

    for view in draw_views(white, SIDE, Views(count=20, augmentation=turning), np.random.default_rng(0)):
        assert (view == 255).all()


def test_a_covered_view_keeps_the_rest() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    views = Views(count=30, augmentation=Augmentation(covered_area=0.2))

    served, mirrored, *drawn = draw_views(noise, SIDE, views, np.random.default_rng(0))

    shares = []
    for view in drawn:
        changed = [np.any(view != whole, axis=2) for whole in (served, mirrored)]
        covered = min(changed, key=np.sum)
        shares.append(covered.mean())
        assert len(np.unique(view[covered].reshape(-1, 3), axis=0)) == 1
    assert 0.1 < max(shares) <= 0.22


def test_augmentation_of_none_has_two_views_only(image) -> None:
    assert len(draw(image, count=2, augmentation="none")) == 2
    with pytest.raises(ValueError, match=r"itself and its mirror image; .* Received: count=3"):
        Views(count=3, augmentation=AUGMENTATIONS["none"])


@pytest.mark.parametrize(
    "settings",
    [
        {"cropped_area": (0.0, 1.0)},
        {"cropped_area": (0.9, 0.5)},
        {"light_factor": (1.2, 0.8)},
        {"saturation_factor": (-0.1, 1.0)},
        {"rotation_deg": -1.0},
        {"blur_px": 11.0},
        {"covered_area": 0.6},
    ],
)
def test_an_augmentation_that_can_not_be_drawn_is_refused(settings) -> None:
    with pytest.raises(ValueError, match="Received"):
        Augmentation(**settings)
