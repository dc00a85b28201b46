"""Certificates of an authority made for the test, token files, and channels that use them."""

from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import trustme

from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, hash_token
from beedex.server.config import AccessConfig, TlsConfig


@dataclass
class Certificates:
    """A server's files in a directory, made by an authority that can be another one tomorrow."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    clients: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self):
        self.write(*self.issue())
        (self.folder / "clients.pem").write_bytes(self.clients.cert_pem.bytes())

    def issue(self):
        """A certificate with its chain, and its key."""
        issued = self.authority.issue_cert("127.0.0.1")
        return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()

    def write(self, certificate=None, key=None):
        for name, data in (("cert.pem", certificate), ("key.pem", key)):
            if data is not None:
                (self.folder / name).write_bytes(data)
                (self.folder / name).chmod(0o600)

    def renew(self):
        """Another authority, another certificate, another key; as a bot does it."""
        self.authority = trustme.CA()
        self.write(*self.issue())

    def config(self, *, clients=False):
        ca = self.folder / "clients.pem" if clients else None
        return TlsConfig(certificate=self.folder / "cert.pem", key=self.folder / "key.pem", client_ca=ca)

    def credentials(self, *, shown_by=None):
        """What a client trusts now, and the certificate that it shows, which *shown_by* has signed."""
        roots = self.authority.cert_pem.bytes()
        if shown_by is None:
            return grpc.ssl_channel_credentials(roots)
        shown = shown_by.issue_cert("bob@example.org", common_name="bob")
        return grpc.ssl_channel_credentials(roots, shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes())


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


@dataclass
class Tokens:
    """A token file with a reader and an admin."""

    path: Path
    reader: str = "beedex_reader-token"
    admin: str = "beedex_admin-token"

    def __post_init__(self):
        self.write(ann=(Role.ADMIN, self.admin), bob=(Role.READER, self.reader))

    def write(self, **holders):
        lines = [Holder(name=name, role=role, digest=hash_token(token)).line for name, (role, token) in holders.items()]
        self.path.write_text("\n".join(lines))

    @property
    def config(self):
        return AccessConfig(tokens=self.path)


@pytest.fixture
def tokens(tmp_path):
    return Tokens(tmp_path / "tokens")


@pytest.fixture
def connect():
    """A new connection, shared with nobody; gRPC keeps one for all channels of the same target otherwise."""

    def open_channel(address, credentials=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, credentials, options)

    return open_channel
