"""The kitty graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol/)."""

import base64

__all__ = ["encode_kitty"]

# The protocol's limit of a chunk of base64; every chunk but the last is a multiple of four.
CHUNK_BYTES = 4096


def encode_kitty(png: bytes, *, columns: int, rows: int) -> bytes:
    """Return the escape sequence that shows a PNG file stretched over a piece of the grid, from the cursor on.

    The cursor stays where it is (C=1), and the terminal keeps its answer to itself (q=2), which would come as input.
    """
    payload = base64.standard_b64encode(png)
    chunks = [payload[at : at + CHUNK_BYTES] for at in range(0, len(payload), CHUNK_BYTES)]
    sequences = []
    for place, chunk in enumerate(chunks):
        keys = f"a=T,f=100,t=d,q=2,C=1,c={columns},r={rows}," if place == 0 else ""
        more = int(place < len(chunks) - 1)
        sequences.append(b"\x1b_G%sm=%d;%s\x1b\\" % (keys.encode(), more, chunk))
    return b"".join(sequences)
