"""What answers requests: an embedder, its lane and a searcher, loaded and swapped as one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import BundleCard, load_bundle
from beedex.index.decision import EVIDENCE_NEIGHBORS
from beedex.index.embedded import EmbeddedPhoto
from beedex.index.embedder import Embedder
from beedex.index.entries import Entry
from beedex.index.errors import PhotoError
from beedex.index.map import PLACING_NEIGHBORS
from beedex.index.preprocessing import prepare
from beedex.index.searcher import Identification, Neighbor, Searcher
from beedex.server.calls.queries import refuse_unknown_entry
from beedex.server.calls.work import Stage, note_stage
from beedex.server.config import LaneConfig, ServerConfig
from beedex.server.errors import InvalidRequestError, LoadingError, NothingToCompareError
from beedex.server.lane.cache import EmbeddingCache
from beedex.server.lane.lane import EmbeddingLane
from beedex.server.lane.stages import ThreadedDecoder
from beedex.server.quickness import is_quick

__all__ = ["Engine", "EngineSlot", "equip_engine", "open_engine"]

# How soon a caller may ask again while the server loads: InceptionV3 compiles in about a second.
LOADING_RETRY_AFTER_S = 1.0

# The same while there is no index: somebody has to build one.
NO_INDEX_RETRY_AFTER_S = 10.0

# One search at a time: more would only wait for the same memory.
SEARCH_THREADS = 1

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """One embedder with one snapshot of its vectors. A request uses the same engine from beginning to end.

    Attributes:
        card: of the embedder's bundle.
        embedder: runs it.
        searcher: over a snapshot of the same fingerprint.
        lane: the way of photos to the embedder.
        decoder: the lane's first stage.
        search_pool: where searches run that take long.
    """

    card: BundleCard
    embedder: Embedder
    searcher: Searcher
    lane: EmbeddingLane[EmbeddedPhoto]
    decoder: ThreadedDecoder
    search_pool: ThreadPoolExecutor

    @property
    def fingerprint(self) -> str:
        """The embedder's."""
        return self.searcher.fingerprint

    @property
    def snapshot_version(self) -> int:
        """The snapshot's."""
        return self.searcher.snapshot.version

    async def embed(
        self, photo: bytes, *, field: str, timeout_s: float | None, flow: object | None = None
    ) -> EmbeddedPhoto:
        """Return a photo's (D,) unit vector and its features.

        Args:
            photo: the bytes of an image file.
            field: where the request holds it, for the error.
            timeout_s: how long the caller waits.
            flow: what the photos of one stream have in common; see `EmbeddingLane.embed`.

        Raises:
            InvalidRequestError: the photo can't be used.
            LaneFullError: too many photos wait.
            DeadlineTooNearError: its turn would not come in time.
            LateError: its turn didn't come in time.
        """
        try:
            return await self.lane.embed(photo, timeout_s=timeout_s, flow=flow)
        except PhotoError as error:
            raise InvalidRequestError(str(error), reason=error.reason, field=field) from error

    async def embed_image(
        self, image: NDArray[np.uint8], *, timeout_s: float | None, flow: object | None
    ) -> EmbeddedPhoto:
        """Return the vector of a photo that is prepared already.

        Args:
            image: (S, S, 3) uint8, as `prepare` returns it.
            timeout_s: how long the caller waits.
            flow: what the images of one request have in common; they wait for places in the lane together.

        Raises:
            LaneFullError, DeadlineTooNearError, LateError: as in `embed`.
        """
        return await self.lane.embed_image(image, timeout_s=timeout_s, flow=flow)

    async def fetch_vector(self, entry_id: str, *, field: str) -> NDArray[np.float32]:
        """Return the stored (D,) vector of an entry.

        Raises:
            InvalidRequestError: that is no entry id.
            EntryNotFoundError: the snapshot has no such entry.
        """
        with refuse_unknown_entry(entry_id, field=field, snapshot=self.snapshot_version):
            return await self._search(partial(self.searcher.vector_of, entry_id), k=1)

    async def fetch_entry(self, entry_id: str, *, field: str) -> Entry:
        """Return what is known of an entry; raises as `fetch_vector`."""
        with refuse_unknown_entry(entry_id, field=field, snapshot=self.snapshot_version):
            return await self._look_up(partial(self.searcher.view.entry, entry_id), k=1)

    async def find_neighbors(
        self, vector: NDArray[np.float32], k: int, *, exclude: str | None, families: frozenset[str] | None = None
    ) -> tuple[Neighbor, ...]:
        """Return the *k* entries nearest to a (D,) unit vector, without the entry *exclude*, of *families* alone."""
        question = partial(self.searcher.neighbors, vector, k, exclude=exclude, families=families)
        return await self._search(question, k=k, is_plain=families is None)

    async def identify(
        self, query: NDArray[np.float32] | EmbeddedPhoto, k: int, *, exclude: str | None
    ) -> Identification:
        """Decide the family of a photo or of a (D,) unit vector, without the vote of the entry *exclude*.

        Raises:
            NothingToCompareError: there is no other entry.
        """
        if exclude is not None and len(self.searcher.view) == 1:
            raise NothingToCompareError(
                f"snapshot {self.snapshot_version} holds only the entry {exclude}, which has no vote on itself; "
                "index more photos",
                reason="NOTHING_TO_COMPARE",
                values={"entry_id": exclude, "snapshot": self.snapshot_version},
            )
        question = partial(self.searcher.identify, query, k, exclude=exclude)
        wanted = max(k, EVIDENCE_NEIGHBORS)
        return await self._search(question, k=wanted)

    async def place(
        self, vector: NDArray[np.float32], *, near: Sequence[tuple[int, float]]
    ) -> tuple[float, float] | None:
        """Return where a (D,) unit vector falls on the snapshot's map; None if it has none.

        Args:
            vector: the query.
            near: the ids and cosines of its nearest entries, as a search found them, at least `PLACING_NEIGHBORS`; of
                an entry, itself at 1.
        """
        view = self.searcher.view
        if view.changes:
            # What changes hide, and no search finds any more, still says where its likes lie.
            return await self._search(partial(view.place, vector), k=PLACING_NEIGHBORS)
        if view.snapshot.map is None or not near:
            return None
        ids, similarities = zip(*near[:PLACING_NEIGHBORS], strict=True)
        return view.snapshot.map.place(np.array(ids, np.int64), np.array(similarities, np.float32))

    async def _search(self, question: Callable[[], Answer], *, k: int, is_plain: bool = True) -> Answer:
        began_s = time.monotonic()
        try:
            return await self._look_up(question, k=k, is_plain=is_plain)
        finally:
            note_stage(Stage.SEARCH, began_s, time.monotonic())

    async def _look_up(self, question: Callable[[], Answer], *, k: int, is_plain: bool = True) -> Answer:
        """Answer at once where that takes less than handing the question to a thread."""
        if is_plain and is_quick(self.searcher, k):
            return question()
        return await asyncio.get_running_loop().run_in_executor(self.search_pool, question)

    def close(self) -> None:
        """Wait for what is running and free the embedder."""
        self.decoder.close()
        self.search_pool.shutdown()
        self.embedder.close()


class _WholeEmbedder:
    """An embedder whose photos keep their features: a lane's second stage."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.parallelism = embedder.parallelism

    def submit(self, image: NDArray[np.uint8], /) -> "Future[EmbeddedPhoto]":
        """Start the inference of (S, S, 3) uint8."""
        return self._embedder.submit_whole(image)


def open_engine(config: ServerConfig) -> Engine:
    """Load what *config* names. Blocks for up to a second.

    Raises:
        IndexDirectoryError: there is no index, or no usable snapshot.
        BundleError: the embedder can't be used.
        FingerprintMismatchError: the snapshot was made by another embedder.
    """
    return equip_engine(config, Searcher.open(config.index_dir))


def equip_engine(config: ServerConfig, searcher: Searcher) -> Engine:
    """Open what an engine has beside its searcher, as `open_engine` does.

    Raises:
        BundleError: the embedder can't be used.
    """
    # The searcher read only the card; a network that is run has every byte checked.
    bundle = load_bundle(searcher.bundle.path)
    # It is kept from here on, so that the first photo doesn't have the event loop wait for the disk.
    searcher.bundle.read_familiarity()
    # Nothing is inferred yet: InceptionV3's first photo takes 64 ms of a core and each further one 58, and those who
    # ask while an embedder takes another's place need the core.
    embedder = Embedder.open(bundle, threads=config.lane.threads)
    prepare_photo = partial(prepare, limits=config.limits.photo, side_px=embedder.side_px)
    decoder = ThreadedDecoder(prepare_photo, threads=config.lane.decode_threads)
    return Engine(
        card=bundle.card,
        embedder=embedder,
        searcher=searcher,
        lane=EmbeddingLane(
            decoder, _WholeEmbedder(embedder), capacity=config.lane.capacity, cache=_open_cache(config.lane)
        ),
        decoder=decoder,
        search_pool=ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="beedex-search"),
    )


def _open_cache(config: LaneConfig) -> EmbeddingCache[EmbeddedPhoto] | None:
    if not config.cache_mb:
        return None
    return EmbeddingCache(config.cache_mb << 20, lambda photo: photo.vector.nbytes + photo.features.nbytes)


class EngineSlot:
    """Holds the engine that answers now; empty while it loads, or while there is no index.

    Attributes:
        engine: what answers; None while nothing does.
        served_since_s: when its snapshot was first put here, in seconds of time.time(); 0 while nothing is.
    """

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.served_since_s = 0.0
        self._has_no_index = False

    @property
    def current(self) -> Engine:
        """The engine.

        Raises:
            LoadingError: there is none yet.
        """
        if self.engine is not None:
            return self.engine
        if self._has_no_index:
            raise LoadingError(
                "the server waits for an index that it can serve; try again once one was built, or ask who runs it",
                reason="NO_INDEX",
                retry_after_s=NO_INDEX_RETRY_AFTER_S,
            )
        raise LoadingError(
            "the server is loading its index; try again in a moment",
            reason="LOADING",
            retry_after_s=LOADING_RETRY_AFTER_S,
        )

    def put(self, engine: Engine) -> None:
        """Let *engine* answer from now on."""
        if self.engine is None or engine.searcher.snapshot is not self.engine.searcher.snapshot:
            self.served_since_s = time.time()
        self.engine = engine

    def note_no_index(self) -> None:
        """Say to callers, until an engine comes, that there is no index, rather than that it is loading."""
        self._has_no_index = True
