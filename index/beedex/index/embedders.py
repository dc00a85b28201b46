"""The embedder bundles inside an index: a copy of each one that made a snapshot, so that an index serves by itself."""

import shutil
from pathlib import Path

from beedex.index.bundle import CARD_NAME, Bundle, load_bundle
from beedex.index.durable import write_directory
from beedex.index.errors import BundleError
from beedex.index.versions import explain_os_errors

__all__ = ["install_embedder", "is_installed", "list_embedders", "locate_embedder"]

EMBEDDERS_NAME = "embedders"


def locate_embedder(index_dir: Path, fingerprint: str) -> Path:
    """Return the directory of an embedder's copy, whether it is there or not."""
    return index_dir / EMBEDDERS_NAME / fingerprint


def list_embedders(index_dir: Path) -> tuple[str, ...]:
    """Return the fingerprints of the copies that are there, whole or damaged."""
    with explain_os_errors(index_dir, "read"):
        try:
            names = [path.name for path in (index_dir / EMBEDDERS_NAME).iterdir()]
        except FileNotFoundError:
            return ()
    return tuple(sorted(name for name in names if not name.startswith(".")))


def is_installed(bundle: Bundle, index_dir: Path) -> bool:
    """Return whether the index has this very bundle; the fingerprint alone doesn't cover its calibration."""
    copied_card = locate_embedder(index_dir, bundle.card.fingerprint) / CARD_NAME
    try:
        return copied_card.read_bytes() == (bundle.path / CARD_NAME).read_bytes()
    except OSError:
        return False


def install_embedder(bundle: Bundle, index_dir: Path) -> None:
    """Copy a bundle into the index, unless it is there and whole; the caller holds the lock of the build.

    Raises:
        IndexDirectoryError: the index can't be written.
    """
    copy = locate_embedder(index_dir, bundle.card.fingerprint)
    if is_installed(bundle, index_dir) and _is_whole(copy):
        return
    with explain_os_errors(index_dir, "written"):
        for leftover in copy.parent.glob(".*"):
            shutil.rmtree(leftover)
        with write_directory(copy, replace=True) as directory:
            for name in (CARD_NAME, *bundle.card.files):
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.path / name, directory / name)


def _is_whole(path: Path) -> bool:
    try:
        load_bundle(path)
    except BundleError:
        return False
    return True
