"""Each request over HTTP from its arrival to its answer: what gRPC's interceptors do, in the same order.

It is counted as a call and as a work, given its request id and its deadline, let in through the same door by the same
tokens, and what it raises becomes the same status.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from beedex.server.access.callers import HEADER, Callers
from beedex.server.calls.door import Door
from beedex.server.calls.status import judge_failure
from beedex.server.calls.traffic import UNKNOWN_METHOD, TrafficWatch
from beedex.server.calls.work import CURRENT_CALL, Call
from beedex.server.config import WebConfig
from beedex.server.errors import LateError
from beedex.server.watching.identity import REQUEST_ID_KEY, identify_call
from beedex.server.web.headers import protect, refuse_other_sites
from beedex.server.web.hosts import HostCheck
from beedex.server.web.inquiry import Inquiry, read_timeout
from beedex.server.web.intake import Intake, Receive
from beedex.server.web.routes import WebRoute, WebRoutes
from beedex.server.web.wording import answer_refusal

__all__ = ["WebApplication"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A request's route and the parameters in its path, or why there is none.
Found = tuple[WebRoute, dict[str, str]] | Exception

API_PREFIX = "/v1/"


class WebApplication:
    """An ASGI application for one server.

    Args:
        routes: who answers what.
        config: bounds of time.
        traffic: is told of each request.
        door: lets requests in.
        callers: knows who may ask; None where everybody may.
        hosts: knows what the server is called.
    """

    def __init__(
        self,
        routes: WebRoutes,
        config: WebConfig,
        *,
        traffic: TrafficWatch,
        door: Door,
        callers: Callers | None,
        hosts: HostCheck,
    ) -> None:
        self._routes, self._config = routes, config
        self._traffic, self._door, self._callers, self._hosts = traffic, door, callers, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        found = _find(self._routes, scope)
        route = None if isinstance(found, Exception) else found[0]
        call = Call(
            method=UNKNOWN_METHOD if route is None else route.label,
            identity=identify_call(headers.items()),
            began_s=time.monotonic(),
            find_peer=partial(_name_peer, scope),
        )
        # Not taken back: the task is the request's own and ends with it.
        CURRENT_CALL.set(call)
        intake = Intake(headers, receive, within_s=self._config.max_body_s)
        self._traffic.begin_call(call)
        try:
            if route is not None and route.is_probe:
                await self._exchange(scope, intake, send, call, found)
            else:
                await self._attend(scope, intake, send, call, found)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not intake.has_left or task is None:
                raise
            task.uncancel()
        finally:
            self._traffic.end_call(call)

    async def _attend(self, scope: Scope, intake: Intake, send: Send, call: Call, found: Found) -> None:
        attendance = self._traffic.attend(call.method, request_id=call.identity.request_id)
        try:
            with attendance:
                await self._exchange(scope, intake, send, call, found)
        finally:
            call.code, call.reason = attendance.work.code, attendance.work.reason

    async def _exchange(self, scope: Scope, intake: Intake, send: Send, call: Call, found: Found) -> None:
        response = await self._respond(scope, intake, call, found)
        await intake.rest()
        protect(response.headers)
        response.headers[REQUEST_ID_KEY] = call.identity.request_id
        if self._traffic.draining.is_set():
            # Whoever comes again on a connection that is just being closed would not know whether he was heard.
            response.headers["Connection"] = "close"
        if intake.is_read:
            await response(scope, _receive_nothing, send)
            return
        response.headers["Connection"] = "close"
        await response(scope, _receive_nothing, partial(_send_before_lingering, intake, send))

    async def _respond(self, scope: Scope, intake: Intake, call: Call, found: Found) -> Response:
        """Return the answer, whatever happens."""
        try:
            return await self._answer(scope, intake, call, found)
        except Exception as error:  # noqa: BLE001 - the caller gets a status, whatever it was
            response = answer_refusal(judge_failure(error, call.method), call.identity.request_id)
            if response.status_code == 405:
                response.headers["Allow"] = getattr(error, "values", {}).get("allowed", "")
            return response

    async def _answer(self, scope: Scope, intake: Intake, call: Call, found: Found) -> Response:
        headers, query = Headers(scope=scope), QueryParams(scope["query_string"])
        self._hosts.check(headers.get("host", ""))
        if isinstance(found, Exception):
            raise found
        route, parameters = found
        if not route.is_probe:
            self._door.check()
        if self._callers is not None and route.needed is not None:
            self._callers.admit(headers.getlist(HEADER), route.needed, route.label)
        if route.path.startswith(API_PREFIX):
            refuse_other_sites(headers)
        timeout_s = read_timeout(headers, query, self._config)
        inquiry = Inquiry(
            headers=headers,
            query=query,
            path=parameters,
            intake=intake,
            request_id=call.identity.request_id,
            deadline_s=call.began_s + timeout_s,
        )
        call.time_left = lambda: inquiry.time_left_s
        if intake.is_read:
            intake.watch()
        return await _answer_in_time(route, inquiry, timeout_s)


def _find(routes: WebRoutes, scope: Scope) -> Found:
    try:
        return routes.find(scope["method"], scope["path"])
    except Exception as error:  # noqa: BLE001 - is raised where it becomes an answer
        return error


async def _answer_in_time(route: WebRoute, inquiry: Inquiry, timeout_s: float) -> Response:
    patience = asyncio.timeout(inquiry.time_left_s)
    try:
        async with patience:
            return await route.answer(inquiry)
    except TimeoutError as error:
        if not patience.expired():
            raise
        raise LateError(
            f"the deadline passed before the answer was there: expected it within {timeout_s:g} s; allow more time",
            reason="DEADLINE_PASSED",
            values={"timeout_s": timeout_s},
        ) from error


async def _receive_nothing() -> MutableMapping[str, Any]:
    return {"type": "http.disconnect"}


async def _send_before_lingering(intake: Intake, send: Send, message: MutableMapping[str, Any]) -> None:
    """Send a whole answer at once, and end it only after what still comes of the body."""
    if message["type"] != "http.response.body" or message.get("more_body", False):
        await send(message)
        return
    await send({**message, "more_body": True})
    await intake.linger()
    await send({"type": "http.response.body", "body": b""})


def _name_peer(scope: Scope) -> str:
    client = scope.get("client")
    return "" if client is None else f"{client[0]}:{client[1]}"
