"""Surrounding an RPC's handler, whichever of the four kinds it is: what interceptors are made of."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc

__all__ = ["Context", "Surrounding", "surround"]

Context = grpc.aio.ServicerContext[Any, Any]

# Is entered before the method begins and left when it has ended, by an exception if that ended it.
Surrounding = Callable[[Context], AbstractAsyncContextManager[object]]


def surround(handler: Any, around: Surrounding) -> Any:  # noqa: ANN401 - a handler's messages are of any type
    """Return a handler whose method runs within *around*.

    Args:
        handler: of any kind, its method a coroutine function or an async generator function.
        around: made anew for each RPC.
    """
    codec = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            return grpc.unary_unary_rpc_method_handler(_surround_reply(handler.unary_unary, around), **codec)
        case True, False:
            return grpc.stream_unary_rpc_method_handler(_surround_reply(handler.stream_unary, around), **codec)
        case False, True:
            return grpc.unary_stream_rpc_method_handler(_surround_replies(handler.unary_stream, around), **codec)
        case _:
            return grpc.stream_stream_rpc_method_handler(_surround_replies(handler.stream_stream, around), **codec)


def _surround_reply(method: Callable[[Any, Context], Any], around: Surrounding) -> Callable[[Any, Context], Any]:
    async def answer(request: object, context: Context) -> object:
        async with around(context):
            return await method(request, context)

    return answer


def _surround_replies(method: Callable[[Any, Context], Any], around: Surrounding) -> Callable[[Any, Context], Any]:
    # gRPC tells by the function's kind whether it yields its replies or writes them to the context.
    if not inspect.isasyncgenfunction(method):
        return _surround_reply(method, around)

    async def answer(request: object, context: Context) -> AsyncIterator[object]:
        async with around(context), aclosing(method(request, context)) as replies:
            async for reply in replies:
                yield reply

    return answer
