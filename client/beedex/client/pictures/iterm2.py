"""Inline images of iTerm2 (https://iterm2.com/documentation-images.html)."""

import base64

__all__ = ["encode_iterm2"]


def encode_iterm2(content: bytes, *, columns: int, rows: int) -> bytes:
    """Return the escape sequence that shows an image file, undistorted, within a piece of the grid."""
    keys = f"inline=1;size={len(content)};width={columns};height={rows};preserveAspectRatio=1"
    return b"\x1b]1337;File=%s:%s\x07" % (keys.encode(), base64.standard_b64encode(content))
