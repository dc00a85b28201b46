"""Health as it is: grpc.health.v1 with Check, Watch and List.

grpcio-health-checking's own servicer lets a Watch go on while the server stops, so that one watcher holds up every
shutdown for the whole grace period; and it says SERVING until told otherwise.
"""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, SERVICE_NAME

__all__ = ["OVERALL_HEALTH", "SERVICE_NAME", "HealthServicer"]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


# The type stubs of grpcio-health-checking don't know the newer List yet.
_untyped_health_pb2: Any = health_pb2


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says of each service, and of the server as a whole (the empty name), whether it serves.

    Args:
        services: full names; all begin as NOT_SERVING.
    """

    def __init__(self, services: tuple[str, ...]) -> None:
        self._statuses: dict[str, int] = dict.fromkeys((OVERALL_HEALTH, *services), NOT_SERVING)
        self._changed = asyncio.Condition()
        self._draining = False

    async def open(self) -> None:
        """Say SERVING of everything; without effect once draining began."""
        async with self._changed:
            if not self._draining:
                self._say(SERVING)

    async def drain(self) -> None:
        """Say NOT_SERVING of everything for good, and end every Watch after it has said so."""
        async with self._changed:
            self._draining = True
            self._say(NOT_SERVING)

    def _say(self, status: int) -> None:
        self._statuses = dict.fromkeys(self._statuses, status)
        self._changed.notify_all()

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        """Answer for one service; NOT_FOUND for an unknown one."""
        status = self._statuses.get(request.service)
        if status is None:
            known = ", ".join(name for name in self._statuses if name)
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no service {request.service[:100]!r}; there are {known} and ''"
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def List(  # noqa: N802 - the protocol's name
        self, request: Message, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> Message:
        """Answer for every service."""
        del request, context
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        reply: Message = _untyped_health_pb2.HealthListResponse(statuses=statuses)
        return reply

    async def Watch(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, health_pb2.HealthCheckResponse]",
    ) -> None:
        """Say the status now and after each change, until the server stops."""
        said: int | None = None

        def has_news() -> bool:
            return self._statuses.get(request.service, SERVICE_UNKNOWN) != said

        while not (self._draining and not has_news()):
            if has_news():
                said = self._statuses.get(request.service, SERVICE_UNKNOWN)
                await context.write(health_pb2.HealthCheckResponse(status=said))
            async with self._changed:
                await self._changed.wait_for(lambda: self._draining or has_news())
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is going down")
