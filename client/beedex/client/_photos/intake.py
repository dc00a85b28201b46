"""What every photo of a client goes through before it travels: reading, shrinking, the server's limit."""

import time
from typing import TYPE_CHECKING

from beedex.client._errors import PhotoError
from beedex.client._photos.photos import count_bytes, encode_photo
from beedex.client._photos.shrinking import can_shrink, is_worth_shrinking, shrink_file, shrink_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from beedex.client._photos.photos import Pixels
    from beedex.client._results.results import Status

__all__ = ["ASSUMED_PHOTO_LIMIT_BYTES", "PhotoIntake"]

# Photos up to this size are sent without asking the server for its limit first: a server's largest message has this
# much room beyond its photo limit, so even a stricter one answers such a photo with a proper error.
ASSUMED_PHOTO_LIMIT_BYTES = 1024 * 1024

# Of InceptionV3. What is no larger than this needs is sent without asking the server for its embedder's.
ASSUMED_SIDE_PX = 299

# A server may be given another embedder while its clients run.
LEARN_AGAIN_S = 60.0


class PhotoIntake:
    """Makes photos ready for one server; safe to share between threads.

    The server is asked for nothing here: `needs_status` says when its status is to be learned first.

    Args:
        shrink: whether large photos are shrunk where Pillow is installed.
        now: the monotonic clock, in seconds.

    Example:
        >>> PhotoIntake(shrink=True).needs_status(b"a small file")
        False
    """

    def __init__(self, *, shrink: bool, now: "Callable[[], float]" = time.monotonic) -> None:
        self._shrinks = shrink and can_shrink()
        self._now = now
        # One reference, so that threads see either all of what was learned or nothing.
        self._learned: tuple[float, Status] | None = None

    def needs_status(self, photo: "bytes | Pixels", *, shrink: bool = True) -> bool:
        """Tell whether the server's status is to be learned before *photo* is packed, with the same *shrink*."""
        learned = self._learned
        is_fresh = learned is not None and self._now() - learned[0] < LEARN_AGAIN_S
        if shrink and self._will_shrink(photo):
            return not is_fresh
        if learned is None:
            return count_bytes(photo) > ASSUMED_PHOTO_LIMIT_BYTES
        # Pixels become a file first, which is smaller; `pack` looks at it.
        if is_fresh and not isinstance(photo, bytes):
            return False
        # Of a limit that is in the way the server is asked once more: it may have been raised.
        told_bytes = learned[1].limits.max_photo_bytes
        return count_bytes(photo) > (told_bytes if is_fresh else min(told_bytes, ASSUMED_PHOTO_LIMIT_BYTES))

    def is_quick(self, photo: "bytes | Pixels") -> bool:
        """Tell whether there is nothing to compute to pack *photo*."""
        return isinstance(photo, bytes) and not self._will_shrink(photo)

    def learn(self, status: "Status") -> None:
        """Take note of what the server has loaded and what it takes."""
        self._learned = (self._now(), status)

    def pack(self, photo: "bytes | Pixels", *, shrink: bool = True) -> bytes:
        """Return the image file that travels. It may take a while, with a large photo a tenth of a second.

        Args:
            photo: as `open_photo` returned it.
            shrink: False where the photo itself is wanted, not what the embedder sees of it.

        Raises:
            PhotoError: it is larger than the server's limit (reason TOO_MANY_BYTES, as the server says).
            ValueError: pixels that no photo has.
        """
        small = self._shrink(photo) if shrink and self._will_shrink(photo) else None
        packed = encode_photo(photo) if small is None else small
        if self._learned is not None:
            _check_size(packed, self._learned[1].limits.max_photo_bytes)
        return packed

    def _will_shrink(self, photo: "bytes | Pixels") -> bool:
        # A server that doesn't say what it needs gets the photo.
        side_px = ASSUMED_SIDE_PX if self._learned is None else self._learned[1].input_side_px
        return self._shrinks and side_px > 0 and is_worth_shrinking(photo, side_px)

    def _shrink(self, photo: "bytes | Pixels") -> bytes | None:
        if self._learned is None:
            return None
        status = self._learned[1]
        if isinstance(photo, bytes):
            return shrink_file(photo, status.input_side_px, status.limits)
        return shrink_pixels(photo, status.input_side_px, status.limits)


def _check_size(photo: bytes, limit_bytes: int) -> None:
    """Refuse a photo that the server would refuse, before it travels."""
    if len(photo) > limit_bytes:
        raise PhotoError(
            f"the photo is too large: expected at most {limit_bytes} bytes (the server's limit), "
            f"received {len(photo)}; save it smaller, the embedder looks at {ASSUMED_SIDE_PX} x {ASSUMED_SIDE_PX} "
            "pixels, or have it shrunk here: pip install 'beedex[photos]'",
            reason="TOO_MANY_BYTES",
            details={"limit_bytes": str(limit_bytes), "size_bytes": str(len(photo))},
        )
