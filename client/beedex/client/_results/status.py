"""What a server says of itself."""

from dataclasses import dataclass

from beedex.client._results.result import Answer, Result

__all__ = ["Limits", "Status"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Limits(Result):
    """What the server takes; 0 where it doesn't say.

    Attributes:
        max_photo_bytes: the largest photo file.
        max_photo_pixels: the most pixels of a photo, width times height.
        max_photo_side_px: the longest side of a photo.
        photo_formats: such as JPEG.
        max_k: the most neighbors of an answer.
        max_message_bytes: the largest request, with all that is in it.
        max_entries: the most entries of one upsert or delete.
        max_stream_items: the most items of one stream; `identify_many` opens the next one by itself.
        stream_window: how many items of a stream are under way at once.
        max_streams: the most streams that are open at once, of all callers.
        max_idle_s: how long a stream may send nothing, in seconds.
        max_metadata_bytes: of a request.

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
    max_message_bytes: int = 0
    max_entries: int = 0
    max_stream_items: int = 0
    stream_window: int = 0
    max_streams: int = 0
    max_idle_s: float = 0.0
    max_metadata_bytes: int = 0


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
