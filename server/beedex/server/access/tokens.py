"""Bearer tokens: how they are made, kept and recognized.

A file holds one line a token, `name role sha256`, and never the token itself:

    # who     may be   sha256 of the token
    bob       reader   5f1e... (64 hex digits)

A token is 256 random bits, so nobody finds it from its sha256: there is nothing to guess that would be likelier than
anything else. The slow hashes that passwords need against guessing (scrypt, Argon2) would add nothing here, and would
cost every request tens of milliseconds.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from beedex.server.access.followed import require_closed_to_writers
from beedex.server.access.roles import Role
from beedex.server.errors import CredentialsError

__all__ = ["Holder", "TokenBook", "add_holder", "hash_token", "make_token", "read_tokens", "require_name"]

# So that scanners of repositories and logs recognize one that has got there.
PREFIX = "beedex_"

RANDOM_BYTES = 32

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
WORDS_OF_A_LINE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Somebody who has a token.

    Attributes:
        name: what the log calls them; may have several tokens, such as an old and a new one.
        role: what they may do.
        digest: the token's sha256, 64 hex digits.
    """

    name: str
    role: Role
    digest: str = field(repr=False)

    @property
    def line(self) -> str:
        """The line of the token file."""
        return f"{self.name} {self.role} {self.digest}"


class TokenBook:
    """The holders of a token file."""

    def __init__(self, holders: Iterable[Holder]) -> None:
        self._holders = tuple(holders)

    def __len__(self) -> int:
        return len(self._holders)

    def find(self, token: str | bytes) -> Holder | None:
        """Return whose token that is, None for nobody's; in the same time whichever line it is on."""
        digest, found = hash_token(token), None
        for holder in self._holders:
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        return found


def make_token() -> str:
    """Return a token that nobody had before."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def hash_token(token: str | bytes) -> str:
    """Return what is kept of a token: 64 hex digits."""
    data = token.encode("utf-8", "surrogateescape") if isinstance(token, str) else token
    return hashlib.sha256(data).hexdigest()


def require_name(name: str) -> str:
    """Return a holder's name.

    Raises:
        CredentialsError: it isn't one.
    """
    if NAME.fullmatch(name) is None:
        raise CredentialsError(
            "a token's name is expected to be 1 to 64 letters, digits and . _ @ -, beginning with a letter or a digit; "
            f"received {name[:80]!r}"
        )
    return name


def read_tokens(path: Path) -> TokenBook:
    """Read a token file; one without tokens lets nobody in.

    Raises:
        CredentialsError: it can't be used. The error doesn't quote it: somebody may have put a token there.
        OSError: it can't be read.
    """
    require_closed_to_writers(path, why="who could let themselves in")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CredentialsError(f"{path}: expected lines `name role sha256` in UTF-8, received other bytes") from error
    holders: dict[str, Holder] = {}
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        holder = _read_line(words, place=f"{path}, line {number}")
        if holder.digest in holders:
            raise CredentialsError(f"{path}, line {number}: the same token is on an earlier line; leave one of them")
        holders[holder.digest] = holder
    return TokenBook(holders.values())


def add_holder(path: Path, holder: Holder) -> None:
    """Add a line to a token file, which is made if it isn't there.

    Raises:
        CredentialsError: it can't be written, or can't be used as it is.
    """
    try:
        if path.exists():
            read_tokens(path)
        # In one write at the end: a server that reads meanwhile finds the line or doesn't, and owner and mode stay.
        with path.open("a+b", buffering=0) as file:
            is_line_open = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
            file.write(f"{chr(10) if is_line_open else ''}{holder.line}\n".encode())
    except OSError as error:
        raise CredentialsError(f"the token file {path} can't be written: {error.strerror or error}") from error


def _read_line(words: list[str], *, place: str) -> Holder:
    if len(words) != WORDS_OF_A_LINE:
        raise CredentialsError(
            f"{place}: expected `name role sha256`, received {len(words)} words; `beedex token new` prints such a line"
        )
    name, role, digest = words
    if NAME.fullmatch(name) is None:
        raise CredentialsError(f"{place}: the first word is expected to be a name of letters, digits and . _ @ -")
    if role not in tuple(Role):
        raise CredentialsError(f"{place}: the second word is expected to be {' or '.join(Role)}")
    if DIGEST.fullmatch(digest) is None:
        raise CredentialsError(
            f"{place}: the third word is expected to be a token's sha256 in 64 lower-case hex digits, received "
            f"{len(digest)} characters of something else; if that is a token itself, make a new one with "
            "`beedex token new`"
        )
    return Holder(name=name, role=Role(role), digest=digest)
