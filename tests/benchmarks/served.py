"""What benchmarks of a running server have in common: drawn snapshots, a process that serves them, what it takes.

Every entry of a drawn snapshot is of a family that names the snapshot, so that an answer that mixes two snapshots
shows itself.
"""

import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
import numpy as np
import openvino as ov
import psutil
from numpy.typing import NDArray
from openvino import opset13 as ops

from beedex.index.bundle import Bundle, load_bundle, seal_bundle
from beedex.index.durable import write_directory
from beedex.index.embedders import install_embedder
from beedex.index.entries import Entry
from beedex.index.publishing import publish_snapshot

__all__ = ["PeakWatch", "ServerProcess", "Usage", "draw_snapshot", "draw_vectors", "open_channel", "turn_bundle"]

FAMILIES = 20
START_TIMEOUT_S = 120
SECONDS_BETWEEN_SAMPLES = 0.01


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process takes.

    Attributes:
        rss_mb: its memory, in MB.
        threads: how many it has.
        descriptors: how many are open.
        mappings: how many there are of memory, each a line of /proc/PID/maps.
        deleted: descriptors and mappings of files that were deleted.
    """

    rss_mb: float
    threads: int
    descriptors: int
    mappings: int
    deleted: int


class ServerProcess:
    """`beedex serve` in a process of its own, serving from the beginning to the end of the block.

    Args:
        index_dir: what it serves.
        options: of the command.
    """

    def __init__(self, index_dir: Path, *options: str) -> None:
        # Not beside the index: of several servers of one index, each would find the file of the first.
        self._home = tempfile.TemporaryDirectory(prefix="beedex-served-")
        self._ready_file = Path(self._home.name, "ready")
        command = [sys.executable, "-m", "beedex.client", "serve", "--index", str(index_dir), "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [*command, "--ready-file", str(self._ready_file), *options], stdout=subprocess.DEVNULL
        )
        self._seen = psutil.Process(self._process.pid)
        self.address = ""

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError("the server did not start; what it says stands above")
            time.sleep(0.02)
        self.address = self._ready_file.read_text().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        if self._process.wait(timeout=START_TIMEOUT_S) != 0:
            raise RuntimeError(f"the server ended with {self._process.returncode}")
        self._home.cleanup()

    def measure(self) -> Usage:
        """Return what the process takes now."""
        folder = Path("/proc", str(self._process.pid))
        mappings = (folder / "maps").read_text().splitlines()
        with self._seen.oneshot():
            return Usage(
                rss_mb=self.rss_mb,
                threads=self._seen.num_threads(),
                descriptors=self._seen.num_fds(),
                mappings=len(mappings),
                deleted=sum("(deleted)" in text for text in (*mappings, *_read_links(folder / "fd"))),
            )

    @property
    def rss_mb(self) -> float:
        """The process's memory, in MB."""
        return float(self._seen.memory_info().rss / 1e6)

    @property
    def cpu_s(self) -> float:
        """The processor's time that it took, in seconds."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)


class PeakWatch:
    """Notes the most memory that a server takes while the block runs.

    Attributes:
        peak_mb: the most so far.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server, self.peak_mb = server, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_SAMPLES):
            self.peak_mb = max(self.peak_mb, self._server.rss_mb)


def draw_vectors(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Return (N, D) float32 unit vectors in all directions."""
    vectors: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def draw_snapshot(index_dir: Path, bundle: Bundle, name: str, entries: int, *, seed: int) -> int:
    """Publish a snapshot whose families all begin with *name*, and its embedder; return the version."""
    install_embedder(bundle, index_dir)
    generator = np.random.default_rng(seed)
    drawn = [
        Entry(sha256=generator.bytes(32).hex(), family=f"{name}-{number % FAMILIES}", path=f"{name}/{number}.jpg")
        for number in range(entries)
    ]
    return publish_snapshot(
        index_dir,
        entries=drawn,
        vectors=draw_vectors(entries, bundle.card.dimension, seed),
        fingerprint=bundle.card.fingerprint,
        mapping="pca",
    )


def turn_bundle(bundle: Bundle, path: Path) -> Bundle:
    """Write another embedder that takes as long: the same network, whose vectors have their numbers in reverse."""
    model = ov.Core().read_model(bundle.network_path)
    results = {next(iter(output.names)): output for output in model.outputs}
    embedding = results["embedding"].get_node().input_value(0)
    embedding.tensor.set_names(set())
    order = np.arange(bundle.card.dimension, dtype=np.int64)[::-1].copy()
    turned = ops.gather(embedding, order, np.int64(1))
    turned.output(0).tensor.set_names({"embedding"})
    features = results["features"].get_node().input_value(0)
    card = bundle.card.model_dump(exclude={"fingerprint", "files", "schema_version"})
    card["preprocessing"] = bundle.card.preprocessing
    with write_directory(path) as directory:
        ov.save_model(
            ov.Model([turned.output(0), features], model.get_parameters(), "turned"),
            directory / "model.xml",
            compress_to_fp16=False,
        )
        seal_bundle(directory, trained_photos=(), **card)
    return load_bundle(path)


async def open_channel(stack: AsyncExitStack, server: ServerProcess) -> grpc.aio.Channel:
    """Open a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel: grpc.aio.Channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address, options))
    return channel


def _read_links(folder: Path) -> list[str]:
    links = []
    for path in folder.iterdir():
        # The descriptor may be closed meanwhile.
        with suppress(FileNotFoundError):
            links.append(str(path.readlink()))
    return links
