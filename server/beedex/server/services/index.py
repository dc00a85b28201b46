"""IndexService: what the server has loaded, and how that is changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from beedex.server.calls.queries import check_expectation
from beedex.server.calls.streams import attend_replies
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import LimitsConfig
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.services.entries import pack_outcome, read_wish
from beedex.server.services.origin import describe_origin, take_engine
from beedex.server.services.snapshots import pack_limits, pack_progress, pack_snapshot, pack_summary
from beedex.server.services.status import describe_status
from beedex.server.upkeep.activation import Activation
from beedex.server.upkeep.buildnews import BuildProgress
from beedex.server.upkeep.builds import Builds
from beedex.server.upkeep.editing import Editing
from beedex.v1 import index_pb2, index_pb2_grpc, types_pb2

if TYPE_CHECKING:
    import grpc

__all__ = ["IndexService"]

PREFIX = "/beedex.v1.IndexService/"


class IndexService(index_pb2_grpc.IndexServiceServicer):
    """See index.proto."""

    def __init__(
        self,
        slot: EngineSlot,
        limits: LimitsConfig,
        traffic: TrafficWatch,
        *,
        activation: Activation,
        editing: Editing,
        builds: Builds,
    ) -> None:
        self._slot, self._traffic = slot, traffic
        self._activation, self._editing, self._builds = activation, editing, builds
        self._max_entries = limits.max_entries
        self._limits = pack_limits(limits)

    async def GetStatus(  # noqa: N802 - the protocol's name
        self, request: index_pb2.GetStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.GetStatusResponse:
        """Tell the embedder, the snapshot and the limits."""
        del context
        return describe_status(take_engine(self._slot, request.expectation), self._limits)

    async def ListSnapshots(  # noqa: N802 - the protocol's name
        self, request: index_pb2.ListSnapshotsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.ListSnapshotsResponse:
        """List what can be activated."""
        del context
        engine = take_engine(self._slot, request.expectation)
        snapshots = [pack_snapshot(state) for state in await self._activation.list()]
        return index_pb2.ListSnapshotsResponse(snapshots=snapshots, origin=describe_origin(engine))

    async def ActivateSnapshot(  # noqa: N802 - the protocol's name
        self, request: index_pb2.ActivateSnapshotRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.ActivateSnapshotResponse:
        """Serve another snapshot."""
        del context
        engine = take_engine(self._slot, request.expectation)
        if not request.version:
            raise InvalidRequestError(
                "there is no version to activate: expected at least 1, received 0; ListSnapshots tells them",
                reason="VERSION_MISSING",
                field="version",
            )
        await self._activation.activate(request.version)
        return index_pb2.ActivateSnapshotResponse(
            former_version=engine.snapshot_version, origin=describe_origin(self._slot.current)
        )

    async def RollbackSnapshot(  # noqa: N802 - the protocol's name
        self, request: index_pb2.RollbackSnapshotRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.RollbackSnapshotResponse:
        """Serve the snapshot before."""
        del context
        engine = take_engine(self._slot, request.expectation)
        await self._activation.roll_back()
        return index_pb2.RollbackSnapshotResponse(
            former_version=engine.snapshot_version, origin=describe_origin(self._slot.current)
        )

    async def Rebuild(  # noqa: N802 - the protocol's name
        self, request: index_pb2.RebuildRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[index_pb2.RebuildResponse]:
        """Bring the index up to date with the gallery."""
        del context
        with attend_replies(self._traffic, f"{PREFIX}Rebuild"):
            engine = take_engine(self._slot, request.expectation)
            async with aclosing(self._builds.build(engine)) as news:
                async for item in news:
                    origin = describe_origin(self._slot.current)
                    if isinstance(item, BuildProgress):
                        yield index_pb2.RebuildResponse(progress=pack_progress(item), origin=origin)
                    else:
                        yield index_pb2.RebuildResponse(summary=pack_summary(item), origin=origin)

    async def UpsertEntries(  # noqa: N802 - the protocol's name
        self, request: index_pb2.UpsertEntriesRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.UpsertEntriesResponse:
        """Put photos in, or change what is said of indexed ones."""
        take_engine(self._slot, request.expectation)
        self._check_count(len(request.entries), "entries")
        wishes = [read_wish(entry, f"entries[{place}]") for place, entry in enumerate(request.entries)]
        outcomes = await self._editing.upsert(
            wishes, accept=_expecting(request.expectation), time_left=context.time_remaining
        )
        return index_pb2.UpsertEntriesResponse(
            outcomes=[pack_outcome(outcome, f"{PREFIX}UpsertEntries") for outcome in outcomes],
            origin=describe_origin(self._slot.current),
        )

    async def DeleteEntries(  # noqa: N802 - the protocol's name
        self, request: index_pb2.DeleteEntriesRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.DeleteEntriesResponse:
        """Take entries out."""
        del context
        take_engine(self._slot, request.expectation)
        self._check_count(len(request.entry_ids), "entry_ids")
        outcomes = await self._editing.delete(request.entry_ids, accept=_expecting(request.expectation))
        return index_pb2.DeleteEntriesResponse(
            outcomes=[pack_outcome(outcome, f"{PREFIX}DeleteEntries") for outcome in outcomes],
            origin=describe_origin(self._slot.current),
        )

    def _check_count(self, count: int, field: str) -> None:
        if not count:
            raise InvalidRequestError(
                f"{field} are empty: expected at least one, received none", reason="ENTRIES_MISSING", field=field
            )
        if count > self._max_entries:
            raise InvalidRequestError(
                f"there are too many {field}: expected at most {self._max_entries}, received {count}",
                reason="TOO_MANY_ENTRIES",
                values={"most": self._max_entries, "received": count},
                field=field,
            )


def _expecting(expectation: types_pb2.Expectation) -> Callable[[Engine], None]:
    return partial(check_expectation, expectation)
