"""Writing the embedder bundle."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import openvino as ov

from beedex.index.bundle import (
    CARD_NAME,
    KERAS_NAME,
    NETWORK_NAME,
    REPORT_NAME,
    BundleCard,
    TrainedPhoto,
    WeightsProvenance,
    compute_fingerprint,
    seal_bundle,
)
from beedex.index.calibration import Calibration
from beedex.index.durable import write_directory
from beedex.index.familiarity import FAMILIARITY_NAME, Familiarity
from beedex.index.preprocessing import Preprocessing
from beedex.training.backbone.forward import convert_to_openvino
from beedex.training.errors import TrainingError
from beedex.training.report import Origin, ReportContent, write_report
from beedex.training.trainingset import TrainingSet

__all__ = ["RECORDED_DISTRIBUTIONS", "Provenance", "export_bundle", "refuse_unusable_directory"]

# Also decides whether an interrupted run may go on: other versions may round otherwise.
RECORDED_DISTRIBUTIONS = ("beedex", "keras", "numpy", "openvino", "pillow", "tensorflow")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How an embedder came about.

    Attributes:
        weights: of the backbone.
        training: the resolved configuration.
        metrics: as `beedex train --json` prints them, without the fingerprint.
        calibration: fitted on held-out photos.
    """

    weights: WeightsProvenance
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    calibration: Calibration


def refuse_unusable_directory(path: Path) -> None:
    """Check, before hours of work, that a bundle may and can be written to *path*.

    Raises:
        TrainingError: something is there that is no bundle.
        OSError: nothing can be written there.
    """
    if path.exists() and not (path / CARD_NAME).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise TrainingError(
            f"{path} exists and is no embedder bundle: expected a new directory or an earlier bundle, which is "
            "replaced; choose another `--out`"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent):
        pass


def export_bundle(
    path: Path,
    embedder: keras.Model,
    data: TrainingSet,
    provenance: Provenance,
    *,
    familiarity: Familiarity | None = None,
    command: str,
    compose_report: Callable[[Origin], ReportContent],
) -> BundleCard:
    """Convert the network and write the whole bundle, or nothing.

    Args:
        path: the bundle's directory; an earlier bundle there is replaced.
        embedder: as from `build_embedder`.
        data: what the head was trained on.
        provenance: how.
        familiarity: measure of the photos that the head was trained on; None to judge photos by their vectors alone.
        command: that made it.
        compose_report: makes the report's content.
    """
    network = convert_to_openvino(embedder)
    with write_directory(path, replace=True) as directory:
        embedder.save(directory / KERAS_NAME)
        # float16 halves the file, and the kernels of the bundled weights are float16 anyway; of other weights it takes
        # the last digits, which the tests of one embedding bound. Computing stays in float32.
        try:
            ov.save_model(network, directory / NETWORK_NAME, compress_to_fp16=True)
        except RuntimeError as error:
            # All that OpenVINO says of a full disk is "iostream error".
            raise OSError(f"OpenVINO can't write the network to {directory}: {error}") from error
        if familiarity is not None:
            familiarity.save(directory / FAMILIARITY_NAME)
        versions = {name: version(name) for name in RECORDED_DISTRIBUTIONS}
        revision = _read_git_revision()
        origin = Origin(
            command=command,
            fingerprint=compute_fingerprint(directory, Preprocessing()),
            weights=provenance.weights.note,
            gallery_digest=data.inspection.digest,
            git_revision=revision,
            versions=versions,
        )
        (directory / REPORT_NAME).parent.mkdir()
        write_report(directory / REPORT_NAME, compose_report(origin))
        return seal_bundle(
            directory,
            trained_photos=tuple(
                TrainedPhoto(
                    sha256=photo.sha256,
                    family=photo.photo.family,
                    group=photo.group,
                    perceptual_hash=photo.perceptual_hash,
                )
                for photo in data.photos
            ),
            backbone="InceptionV3",
            weights=provenance.weights,
            dimension=int(embedder.output["embedding"].shape[-1]),
            preprocessing=Preprocessing(),
            families=data.families,
            training=dict(provenance.training),
            gallery_digest=data.inspection.digest,
            versions=versions,
            git_revision=revision,
            metrics=dict(provenance.metrics),
            calibration=provenance.calibration,
        )


def _read_git_revision() -> str | None:
    """Return the revision of the working tree that this code runs from, if it is one."""
    here = Path(__file__)
    # An environment inside somebody's own repository is not that repository.
    if _run_git("-C", str(here.parent), "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _run_git("-C", str(here.parent), "describe", "--always", "--dirty", "--abbrev=40")


def _run_git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603, S607 - fixed words; git is wherever the person has it
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
