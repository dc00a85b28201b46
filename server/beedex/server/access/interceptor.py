"""Asking each call for its token before anything of it is read."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc

from beedex.server.access.followed import FollowedFiles
from beedex.server.access.roles import Role, find_needed_role
from beedex.server.access.tokens import Holder, TokenBook, read_tokens
from beedex.server.calls.handlers import refuse_unread
from beedex.server.config import ServerConfig
from beedex.server.errors import ForbiddenError, RefusalError, UnauthenticatedError

__all__ = ["AccessInterceptor", "open_access"]

log = logging.getLogger(__name__)

HEADER = "authorization"
SCHEME = "bearer"

# A token that was taken back is refused from then on; a look costs three microseconds, more where files are far away.
SECONDS_BETWEEN_LOOKS = 1.0


def open_access(config: ServerConfig) -> "AccessInterceptor | None":
    """Return what asks calls who they are; None where nobody has to say.

    Raises:
        CredentialsError: the token file can't be used.
    """
    if config.access.tokens is not None:
        path = config.access.tokens
        tokens = FollowedFiles("tokens", [path], lambda: read_tokens(path), look_every_s=SECONDS_BETWEEN_LOOKS)
        if not len(tokens.current):
            log.warning("the token file %s has no tokens, so nobody may ask anything but health", path)
        return AccessInterceptor(tokens=tokens)
    if config.tls.client_ca is not None:
        return AccessInterceptor(role=config.access.certificate_role)
    return None


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls whose caller is unknown or has too small a role.

    It stands inside of what counts calls and turns refusals into statuses, and outside of everything that costs.

    Args:
        tokens: who may come; None when the certificate was enough.
        role: of everybody, where there are no tokens.
    """

    def __init__(self, *, tokens: FollowedFiles[TokenBook] | None = None, role: Role = Role.READER) -> None:
        self._tokens = tokens
        self._everybody = Holder(name="the client certificate's holder", role=role, digest="")

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
            holder = self._identify(handler_call_details.invocation_metadata)
            _require_role(holder, needed, method)
        except RefusalError as refusal:
            return refuse_unread(refusal)
        if needed is Role.ADMIN:
            log.info("%s called by %s", method, holder.name)
        return handler

    def _identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> Holder:
        if self._tokens is None:
            return self._everybody
        holder = self._tokens.current.find(_read_token(metadata))
        if holder is None:
            raise UnauthenticatedError(
                "the token is not one of this server's; ask who runs it for one", reason="TOKEN_UNKNOWN"
            )
        return holder


def _read_token(metadata: Iterable[tuple[str, str | bytes]]) -> str | bytes:
    values = [value for key, value in metadata if key == HEADER]
    if len(values) != 1:
        raise _miss(f"received {len(values) or 'none'}")
    text = values[0] if isinstance(values[0], str) else values[0].decode("utf-8", "surrogateescape")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != SCHEME or not token:
        # It isn't quoted: it may be a token without the word before it.
        raise _miss("received another kind")
    return token.strip()


def _miss(received: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        f"this server answers whoever has a token: expected the metadata `{HEADER}: Bearer TOKEN` once, {received}",
        reason="TOKEN_MISSING",
    )


def _require_role(holder: Holder, needed: Role, method: str) -> None:
    if not holder.role.includes(needed):
        raise ForbiddenError(
            f"{method} needs the role {needed}; {holder.name} has the role {holder.role}",
            reason="ROLE_MISSING",
            values={"method": method, "needed": needed, "received": holder.role},
        )
