"""Surrounding an RPC's handler, whichever of the four kinds it is: what interceptors are made of."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import grpc

__all__ = [
    "Context",
    "Remaking",
    "RemakingInterceptor",
    "Sender",
    "Surrounding",
    "Unparsable",
    "parse_within",
    "refuse_unread",
    "send_replies",
    "surround",
]

Context = grpc.aio.ServicerContext[Any, Any]

# Is entered before the method begins and left when it has ended, by an exception if that ended it.
Surrounding = Callable[[Context], AbstractAsyncContextManager[object]]

# Waits until gRPC has sent something, for as long as that may take.
Sender = Callable[[Awaitable[None]], Awaitable[None]]

# Of any messages: (request, or an iterator of requests; context) to a coroutine or an async generator.
Method = Callable[[Any, Context], Any]


class Remaking:
    """Remakes each method's handler once: gRPC asks for it with every call, and remaking it takes 20 us.

    Args:
        remake: from a method's full name and its handler to the handler that takes its place.
    """

    def __init__(self, remake: Callable[[str, Any], Any]) -> None:
        self._remake = remake
        self._known: dict[str, tuple[Any, Any]] = {}

    def apply(self, method: str, handler: Any) -> Any:  # noqa: ANN401 - a handler's messages are of any type
        """Return what takes the place of *handler*."""
        former, remade = self._known.get(method, (None, None))
        # One that refuses a single call may stand in the place of the usual one.
        if former is not handler:
            remade = self._remake(method, handler)
            self._known[method] = (handler, remade)
        return remade


class RemakingInterceptor(grpc.aio.ServerInterceptor):
    """Puts another handler in the place of each, whatever the call.

    Args:
        remake: as for `Remaking`.
    """

    def __init__(self, remake: Callable[[str, Any], Any]) -> None:
        self._remaking = Remaking(remake)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - see above
        """Let the call pass to the handler that takes the place of its own, if there is one."""
        handler = await continuation(handler_call_details)
        return handler if handler is None else self._remaking.apply(handler_call_details.method, handler)


def surround(handler: Any, around: Surrounding) -> Any:  # noqa: ANN401 - a handler's messages are of any type
    """Return a handler whose method runs within *around*.

    Args:
        handler: of any kind, its method a coroutine function or an async generator function.
        around: made anew for each RPC.
    """
    method = _find_method(handler)

    async def answer_once(request: object, context: Context) -> object:
        async with around(context):
            return await method(request, context)

    async def answer(request: object, context: Context) -> AsyncIterator[object]:
        async with around(context), aclosing(method(request, context)) as replies:
            async for reply in replies:
                yield reply

    # gRPC tells by the function's kind whether it yields its replies or writes them to the context.
    fit = answer if inspect.isasyncgenfunction(method) else answer_once
    return _remake(handler, fit, handler.request_deserializer)


def send_replies(handler: Any, send: Sender) -> Any:  # noqa: ANN401 - see above
    """Return a handler that sends what its method yields, which gRPC would otherwise do; others stay as they are.

    A call that is taken back while gRPC sends leaves the generator to the garbage collector, which closes it at some
    later time and in another task. Here it is closed in its own task, before the call ends.
    """
    method = _find_method(handler)
    if not inspect.isasyncgenfunction(method):
        return handler

    async def answer(request: object, context: Context) -> None:
        async with aclosing(method(request, context)) as replies:
            is_first = True
            async for reply in replies:
                if is_first:
                    # Else a first reply that isn't sent to its end leaves gRPC unable to send the status. Nothing keeps
                    # headers waiting, as replies may be.
                    await _unless_over(context.send_initial_metadata(()))
                    is_first = False
                await send(_unless_over(context.write(reply)))

    return _remake(handler, answer, handler.request_deserializer)


async def _unless_over(sending: Awaitable[None]) -> None:
    try:
        await sending
    except grpc.aio.InternalError as error:
        # The call has ended, of which gRPC tells this task in a moment.
        raise asyncio.CancelledError from error


@dataclass(frozen=True, slots=True)
class Unparsable:
    """Stands for a request whose bytes are no message."""

    error: Exception


def parse_within(handler: Any, refuse: Callable[[Unparsable], Exception]) -> Any:  # noqa: ANN401 - see above
    """Return a handler whose method raises what *refuse* makes of a request that can't be parsed.

    gRPC would answer INTERNAL by itself, as if that were the server's fault, before any method is called.
    """
    method, deserialize = _find_method(handler), handler.request_deserializer

    def parse(data: bytes) -> object:
        try:
            return deserialize(data)
        except Exception as error:  # noqa: BLE001 - protobuf's implementations raise different ones
            return Unparsable(error)

    def check(request: object) -> object:
        if isinstance(request, Unparsable):
            raise refuse(request)
        return request

    async def check_each(requests: Any) -> AsyncIterator[object]:  # noqa: ANN401 - an iterator of requests
        async for request in requests:
            yield check(request)

    judge: Callable[[Any], object] = check_each if handler.request_streaming else check

    async def answer_once(request: object, context: Context) -> object:
        return await method(judge(request), context)

    async def answer(request: object, context: Context) -> AsyncIterator[object]:
        async with aclosing(method(judge(request), context)) as replies:
            async for reply in replies:
                yield reply

    return _remake(handler, answer if inspect.isasyncgenfunction(method) else answer_once, parse)


def refuse_unread(refusal: Exception) -> Any:  # noqa: ANN401 - see above
    """Return a handler that raises *refusal* without reading the request.

    It calls itself one of streams, whatever the method is: gRPC reads the request of a unary method before it calls the
    handler, and here that may be many megabytes from anybody.
    """

    async def refuse(_requests: object, _context: Context) -> None:
        raise refusal

    return grpc.stream_stream_rpc_method_handler(refuse)


def _name_kind(handler: Any) -> str:  # noqa: ANN401 - see above
    request = "stream" if handler.request_streaming else "unary"
    return f"{request}_{'stream' if handler.response_streaming else 'unary'}"


def _find_method(handler: Any) -> Method:  # noqa: ANN401 - see above
    method: Method = getattr(handler, _name_kind(handler))
    return method


def _remake(handler: Any, method: Method, deserialize: Callable[[bytes], object]) -> Any:  # noqa: ANN401 - see above
    make = getattr(grpc, f"{_name_kind(handler)}_rpc_method_handler")
    return make(method, deserialize, handler.response_serializer)
