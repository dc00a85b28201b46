"""What a server says of itself."""

from dataclasses import dataclass

from beedex.client._results.result import Answer, Result

__all__ = ["Limits", "Status"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Limits(Result):
    """What the server takes.

    Attributes:
        max_photo_bytes: the largest photo file.
        max_photo_pixels: the most pixels of a photo, width times height.
        max_photo_side_px: the longest side of a photo.
        photo_formats: such as JPEG.
        max_k: the most neighbors of an answer.

    Example:
        >>> limits = Limits(
        ...     max_photo_bytes=999, max_photo_pixels=100, max_photo_side_px=20, photo_formats=("JPEG", "PNG"), max_k=10
        ... )
        >>> limits.photo_formats, limits.to_dict()["max_k"]
        (('JPEG', 'PNG'), 10)
    """

    max_photo_bytes: int
    max_photo_pixels: int
    max_photo_side_px: int
    photo_formats: tuple[str, ...]
    max_k: int


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Status(Answer):
    """What a server has loaded.

    Attributes:
        server_version: of beedex.
        dimension: D, the length of its vectors.
        backbone: the network under the head.
        weights: where the backbone's weights came from: imagenet, bundled, path or random.
        weights_note: the same in words.
        input_side_px: the longer side that every photo is brought to before it is embedded; 0 for a server that
            doesn't say.
        calibrated: whether verdicts rest on a calibration with held-out photos.
        entries: how many photos are indexed.
        families: how many families they have.
        index_kind: how the index is searched.
        limits: what the server takes.
    """

    server_version: str
    dimension: int
    backbone: str
    weights: str
    weights_note: str
    input_side_px: int
    calibrated: bool
    entries: int
    families: int
    index_kind: str
    limits: Limits
