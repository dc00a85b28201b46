"""TensorBoard: a training's curves, and its embeddings for the projector.

Neither needs the `tensorboard` package, only who looks at them does: ``tensorboard --logdir DIR``.

Shapes: N photos, D dimension.
"""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image, ImageOps

from beedex.index.durable import replace_file

__all__ = ["EventLog", "ProjectedPhoto", "write_projector"]

# TensorBoard refuses a larger sheet of thumbnails (its projector's documentation; so do browsers' textures).
SPRITE_SIDE_PX = 8192
THUMBNAIL_SIDE_PX = 64

PROJECTOR_CONFIG = """embeddings {{
  tensor_name: "{name}"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


class EventLog:
    """A folder of event files: one run in TensorBoard.

    Args:
        directory: of the run; made if need be.

    Raises:
        OSError: the directory can't be made.

    Example:
        >>> import tempfile
        >>> with EventLog(Path(tempfile.mkdtemp())) as log:
        ...     log.begin(step=0)
        ...     log.add_scalars(10, {"loss": 0.1})
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # TF 2's own writer can't say that a run started again, and then what a killed process wrote past its last
        # checkpoint would be drawn twice. This one can; it wants no eager execution only because others don't write so.
        with tf.Graph().as_default():
            # Two files of the same second would have the same name.
            self._writer = tf.compat.v1.summary.FileWriter(str(directory), filename_suffix=f".{os.getpid()}")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def begin(self, *, step: int) -> None:
        """Say that a training goes on behind *step*: later steps in older files don't count any more."""
        start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._writer.add_session_log(start, step + 1 if step else 0)

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each named curve; numbers that aren't finite are left out."""
        known = [(tag, value) for tag, value in values.items() if np.isfinite(value)]
        points = [tf.compat.v1.Summary.Value(tag=tag, simple_value=value) for tag, value in known]
        self._writer.add_summary(tf.compat.v1.Summary(value=points), step)

    def add_text(self, step: int, tag: str, text: str) -> None:
        """Add a note."""
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="text"))
        value = tf.compat.v1.Summary.Value(tag=tag, metadata=metadata, tensor=tf.make_tensor_proto([text]))
        self._writer.add_summary(tf.compat.v1.Summary(value=[value]), step)

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedPhoto:
    """What the projector shows of a photo.

    Attributes:
        path: below the gallery.
        family: its label.
        group: photos of one animal share it.
    """

    path: str
    family: str
    group: str


def write_projector(
    directory: Path,
    vectors: NDArray[np.float32],
    photos: Sequence[ProjectedPhoto],
    thumbnails: Iterable[NDArray[np.uint8]],
    *,
    name: str = "embeddings",
) -> None:
    """Write what TensorBoard's projector shows: vectors, a table and a sheet of thumbnails.

    Args:
        directory: an `EventLog`'s, or the one that TensorBoard is pointed at; it looks nowhere else.
        vectors: (N, D).
        photos: N.
        thumbnails: (H, W, 3) each, in the same order; made smaller here, never more than one at a time in memory.
        name: of the embedding in the projector.

    Raises:
        ValueError: the numbers of vectors, photos and thumbnails differ.
        OSError: the files can't be written.
    """
    if len(photos) != len(vectors):
        raise ValueError(f"expected a vector for each photo, received {len(vectors)} for {len(photos)} photos")
    sheet, side = _lay_out(thumbnails, len(photos))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    rows = ["\t".join(f"{number:.6g}" for number in vector) for vector in vectors]
    columns = [("path", "family", "group"), *((photo.path, photo.family, photo.group) for photo in photos)]
    table = ["\t".join(" ".join(cell.split()) for cell in row) for row in columns]  # a tab or a newline would split it
    directory.mkdir(parents=True, exist_ok=True)
    replace_file(directory / "sprite.png", content.getvalue())
    replace_file(directory / "vectors.tsv", _join(rows))
    replace_file(directory / "metadata.tsv", _join(table))
    # Last: it names the others.
    replace_file(directory / "projector_config.pbtxt", PROJECTOR_CONFIG.format(name=name, side=side).encode())


def _lay_out(thumbnails: Iterable[NDArray[np.uint8]], count: int) -> tuple[Image.Image, int]:
    """Return a sheet of square thumbnails, row by row, and their side in pixels."""
    columns = ceil(sqrt(count))
    side = min(THUMBNAIL_SIDE_PX, SPRITE_SIDE_PX // columns)
    sheet = Image.new("RGB", (columns * side, ceil(count / columns) * side), "white")
    number = -1
    for number, pixels in enumerate(thumbnails):
        if number == count:
            break
        thumbnail = ImageOps.pad(Image.fromarray(pixels), (side, side), color="white")
        sheet.paste(thumbnail, (number % columns * side, number // columns * side))
    if number + 1 != count:
        raise ValueError(
            f"expected a thumbnail for each of {count} photos, received {'more' if number == count else number + 1}"
        )
    return sheet, side


def _join(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
