"""Health as it is: grpc.health.v1 with Check, Watch and List.

grpcio-health-checking's own servicer lets a Watch go on while the server stops, so that one watcher holds up every
shutdown for the whole grace period; and it says SERVING until told otherwise.
"""

from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, SERVICE_NAME

from beedex.server.watching.readiness import Readiness

__all__ = ["OVERALL_HEALTH", "SERVICE_NAME", "HealthServicer"]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


# The type stubs of grpcio-health-checking don't know the newer List yet.
_untyped_health_pb2: Any = health_pb2


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says of each service, and of the server as a whole (the empty name), whether it serves.

    Args:
        services: full names.
        readiness: what they depend on.
    """

    def __init__(self, services: tuple[str, ...], readiness: Readiness) -> None:
        self._services = (OVERALL_HEALTH, *services)
        self._readiness = readiness

    def _find_status(self, service: str) -> int:
        if service not in self._services:
            return SERVICE_UNKNOWN
        return SERVING if self._readiness.is_serving else NOT_SERVING

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        """Answer for one service; NOT_FOUND for an unknown one."""
        status = self._find_status(request.service)
        if status == SERVICE_UNKNOWN:
            known = ", ".join(name for name in self._services if name)
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no service {request.service[:100]!r}; there are {known} and ''"
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def List(  # noqa: N802 - the protocol's name
        self, request: Message, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> Message:
        """Answer for every service."""
        del request, context
        statuses = {name: health_pb2.HealthCheckResponse(status=self._find_status(name)) for name in self._services}
        reply: Message = _untyped_health_pb2.HealthListResponse(statuses=statuses)
        return reply

    async def Watch(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, health_pb2.HealthCheckResponse]",
    ) -> None:
        """Say the status now and after each change, until the server stops."""
        said: int | None = None
        while True:
            status = self._find_status(request.service)
            if status != said:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                # Meanwhile it may have changed again.
                said = status
            elif self._readiness.is_draining:
                break
            else:
                await self._readiness.wait_for_change()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is going down")
