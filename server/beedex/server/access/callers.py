"""Who asks, and whether they may: the one check for calls over gRPC and over HTTP."""

import logging
from collections.abc import Sequence

from beedex.server.access.followed import FollowedFiles
from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, TokenBook, read_tokens
from beedex.server.config import ServerConfig
from beedex.server.errors import ForbiddenError, UnauthenticatedError

__all__ = ["HEADER", "Callers", "open_callers"]

log = logging.getLogger(__name__)

# Of gRPC's metadata, and of HTTP.
HEADER = "authorization"
SCHEME = "bearer"

# A token that was taken back is refused from then on; a look costs three microseconds, more where files are far away.
SECONDS_BETWEEN_LOOKS = 1.0


def open_callers(config: ServerConfig) -> "Callers | None":
    """Return what asks callers who they are; None where nobody has to say.

    Raises:
        CredentialsError: the token file can't be used.
    """
    if config.access.tokens is not None:
        path = config.access.tokens
        tokens = FollowedFiles("tokens", [path], lambda: read_tokens(path), look_every_s=SECONDS_BETWEEN_LOOKS)
        if not len(tokens.current):
            log.warning("the token file %s has no tokens, so nobody may ask anything but health", path)
        return Callers(tokens=tokens)
    if config.tls.client_ca is not None:
        return Callers(role=config.access.certificate_role)
    return None


class Callers:
    """Those who may ask something.

    Args:
        tokens: who may come; None when the certificate was enough.
        role: of everybody, where there are no tokens.
    """

    def __init__(self, *, tokens: FollowedFiles[TokenBook] | None = None, role: Role = Role.READER) -> None:
        self._tokens = tokens
        self._everybody = Holder(name="the client certificate's holder", role=role, digest="")

    def admit(self, authorizations: Sequence[str], needed: Role, method: str) -> None:
        """Let a call pass; what admins do is logged with their name.

        Args:
            authorizations: the values of the header `authorization`.
            needed: the role that the method takes.
            method: what is called.

        Raises:
            UnauthenticatedError: there is no token, or it is nobody's.
            ForbiddenError: its holder has too small a role.
        """
        holder = self._identify(authorizations)
        if not holder.role.includes(needed):
            raise ForbiddenError(
                f"{method} needs the role {needed}; {holder.name} has the role {holder.role}",
                reason="ROLE_MISSING",
                values={"method": method, "needed": needed, "received": holder.role},
            )
        if needed is Role.ADMIN:
            log.info("%s called by %s", method, holder.name)

    def _identify(self, authorizations: Sequence[str]) -> Holder:
        if self._tokens is None:
            return self._everybody
        holder = self._tokens.current.find(_read_token(authorizations))
        if holder is None:
            raise UnauthenticatedError(
                "the token is not one of this server's; ask who runs it for one", reason="TOKEN_UNKNOWN"
            )
        return holder


def _read_token(authorizations: Sequence[str]) -> str:
    if len(authorizations) != 1:
        raise _miss(f"received {len(authorizations) or 'none'}")
    scheme, _, token = authorizations[0].partition(" ")
    if scheme.lower() != SCHEME or not token:
        # It isn't quoted: it may be a token without the word before it.
        raise _miss("received another kind")
    return token.strip()


def _miss(received: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        f"this server answers whoever has a token: expected the metadata or header `{HEADER}: Bearer TOKEN` once, "
        f"{received}",
        reason="TOKEN_MISSING",
    )
