"""The door of a server that stops: shut, it refuses calls in words, where gRPC would cancel them."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from beedex.server.calls.handlers import refuse_unread
from beedex.server.calls.streams import refuse_draining
from beedex.server.calls.traffic import HEALTH_PREFIX, TrafficWatch

__all__ = ["MOST_LAME_DUCK_S", "Door", "turn_away"]

# Once health says NOT_SERVING, requests are taken until none has come for this long: long enough for all that is under
# way within a data center.
QUIET_S = 0.2

# Streams are read no further after this long.
MOST_NOTICE_S = 1.0

# Clients that don't look at health are refused after this long, and cut off after a little more: in time to answer what
# they sent.
MOST_LAME_DUCK_S = 3.0
MOST_REFUSING_S = 0.5


class Door(grpc.aio.ServerInterceptor):
    """Lets calls in until it is shut, and probes of health after that too.

    It stands inside of what turns refusals into statuses. A caller who is refused here knows that another try, or
    another server, may do; of one that is cancelled, clients believe that its caller wished it.
    """

    def __init__(self) -> None:
        self._is_shut = False

    def shut(self) -> None:
        """Refuse every call that comes from now on; what is inside stays."""
        self._is_shut = True

    def check(self) -> None:
        """Let a request in that comes otherwise than over gRPC.

        Raises:
            DrainingError: it is shut.
        """
        if self._is_shut:
            raise refuse_draining("nothing was done; ask again")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler's messages are of any type
        """Let the call pass, or put a refusal in its place."""
        handler = await continuation(handler_call_details)
        if self._is_shut and handler is not None and not handler_call_details.method.startswith(HEALTH_PREFIX):
            return refuse_unread(refuse_draining("nothing was done; ask again"))
        return handler


async def turn_away(traffic: TrafficWatch, door: Door, *, at_most_s: float) -> None:
    """Take what comes until nobody asks any more; refuse it in the end.

    Args:
        traffic: of a server whose health says NOT_SERVING.
        door: is shut for those who go on asking.
        at_most_s: until then, and a little longer.
    """
    began_s = time.monotonic()
    # Whoever looks at health ends his streams himself, when all of their items are answered.
    await traffic.wait_for_streams(min(MOST_NOTICE_S, at_most_s))
    traffic.draining.set()
    if not await traffic.wait_until_quiet(QUIET_S, at_most_s=at_most_s - (time.monotonic() - began_s)):
        door.shut()
        await traffic.wait_until_quiet(QUIET_S, at_most_s=min(MOST_REFUSING_S, at_most_s))
