"""Asking each call for its token before anything of it is read."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc

from beedex.server.access.callers import HEADER, Callers
from beedex.server.access.roles import find_needed_role
from beedex.server.calls.handlers import refuse_unread
from beedex.server.errors import RefusalError

__all__ = ["AccessInterceptor"]


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls whose caller is unknown or has too small a role.

    It stands inside of what counts calls and turns refusals into statuses, and outside of everything that costs.

    Args:
        callers: tells who they are and what they may do.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler's messages are of any type
        """Let the call pass, or put a refusal in its place."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        needed = find_needed_role(method)
        if handler is None or needed is None:
            return handler
        try:
            self._callers.admit(_list_authorizations(handler_call_details.invocation_metadata), needed, method)
        except RefusalError as refusal:
            return refuse_unread(refusal)
        return handler


def _list_authorizations(metadata: Iterable[tuple[str, str | bytes]]) -> list[str]:
    values = [value for key, value in metadata if key == HEADER]
    return [value if isinstance(value, str) else value.decode("utf-8", "surrogateescape") for value in values]
