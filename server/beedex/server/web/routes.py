"""Which request is for whom."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import compile_path

from beedex.server.access.roles import Role
from beedex.server.errors import InvalidRequestError, ResourceNotFoundError
from beedex.server.web.inquiry import Inquiry

__all__ = ["WebRoute", "WebRoutes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WebRoute:
    """One kind of request.

    Attributes:
        verb: GET, which HEAD is too, or POST.
        path: with its parameters, such as /v1/photos/{entry_id}.
        answer: makes the response.
        needed: the role that it takes; None for none.
        is_probe: whether it goes on until the server ends, and so is no traffic.
    """

    verb: str
    path: str
    answer: Callable[[Inquiry], Awaitable[Response]]
    needed: Role | None = Role.READER
    is_probe: bool = False

    @property
    def label(self) -> str:
        """What log, metrics and traces call it; it says that it came over HTTP."""
        return f"{self.verb} {self.path}"

    @property
    def verbs(self) -> tuple[str, ...]:
        """What HTTP calls it."""
        return ("GET", "HEAD") if self.verb == "GET" else (self.verb,)


class WebRoutes:
    """The routes of a server, and whatever else can be fetched from it.

    Args:
        routes: in the order in which they are tried.
        otherwise: is asked for what no route is for.
    """

    def __init__(self, routes: Sequence[WebRoute], otherwise: Callable[[str], WebRoute | None]) -> None:
        self._routes = [(compile_path(route.path)[0], route) for route in routes]
        self._otherwise = otherwise

    def find(self, verb: str, path: str) -> tuple[WebRoute, dict[str, str]]:
        """Return the route of a request, and the parameters in its path.

        Raises:
            ResourceNotFoundError: there is nothing at that path.
            InvalidRequestError: there is, but not for that verb.
        """
        allowed: list[str] = []
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if verb in route.verbs:
                return route, match.groupdict()
            allowed += route.verbs
        other = self._otherwise(path)
        if other is not None and verb in other.verbs:
            return other, {}
        allowed += () if other is None else other.verbs
        if allowed:
            raise _refuse_verb(verb, allowed)
        raise ResourceNotFoundError(
            "there is nothing at this path; /openapi.json tells what there is",
            reason="PATH_NOT_FOUND",
            values={"path": path},
        )


def _refuse_verb(verb: str, allowed: Sequence[str]) -> InvalidRequestError:
    return InvalidRequestError(
        f"this path doesn't take {verb}: expected {' or '.join(allowed)}",
        reason="METHOD_NOT_ALLOWED",
        values={"received": verb, "allowed": ", ".join(allowed)},
    )
