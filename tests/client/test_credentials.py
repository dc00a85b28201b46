"""Encryption and tokens against beedex's own server, in a process of its own."""

import asyncio
import stat
import threading
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path

import grpc
import pytest
import trustme
from tests.client.strangers import Stranger, serve_stranger

from beedex.client import AccessError, AsyncClient, Client, CredentialsError, Tls, UnavailableError
from beedex.client._connections.channel import ChannelConfig, is_loopback
from beedex.client._connections.credentials import read_token
from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, add_holder, hash_token

SECRET = "beedex_a-secret"  # noqa: S105 - of nobody


def write_pem(path, *blobs):
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


@dataclass
class Guarded:
    """A server that wants a certificate and a token.

    Attributes:
        address: HOST:PORT.
        tls: what it takes.
        home: the directory of its files, the authority's ca.pem among them.
    """

    address: str
    tls: Tls
    home: Path


@pytest.fixture(scope="session")
def guarded(served_index, server_process, tmp_path_factory):
    home = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    issued, own = authority.issue_cert("127.0.0.1", "bees.example"), authority.issue_cert("ann@example.org")
    tls = Tls(
        ca=write_pem(home / "ca.pem", authority.cert_pem),
        certificate=write_pem(home / "own.pem", *own.cert_chain_pems),
        key=write_pem(home / "own.key", own.private_key_pem),
    )
    write_pem(home / "server.pem", *issued.cert_chain_pems)
    write_pem(home / "server.key", issued.private_key_pem)
    add_holder(home / "tokens", Holder(name="ann", role=Role.READER, digest=hash_token(SECRET)))
    options = ["--tls-certificate", home / "server.pem", "--tls-key", home / "server.key"]
    options += ["--tls-client-ca", home / "ca.pem", "--tokens", home / "tokens"]
    with server_process(served_index, home, *options) as (_, address):
        yield Guarded(address, tls, home)


def test_who_shows_certificate_and_token_is_answered(connect, guarded):
    assert len(connect(guarded.address, tls=guarded.tls, token=SECRET).families()) == 3


def test_a_stream_shows_them_too(guarded, tiny_gallery):
    photos = sorted(tiny_gallery.rglob("*_000.jpg"))
    with Client(guarded.address, tls=guarded.tls, token=SECRET) as client:
        outcomes = list(client.identify_many(photos))

    assert [outcome.unwrap().family for outcome in outcomes] == ["amber", "blue", "clover"]


@pytest.mark.parametrize(("token", "reason"), [(None, "TOKEN_MISSING"), ("beedex_other", "TOKEN_UNKNOWN")])
def test_a_caller_whom_the_server_does_not_know_is_refused_by_name(connect, guarded, token, reason):
    with pytest.raises(AccessError) as caught:
        connect(guarded.address, tls=guarded.tls, token=token).families()

    assert (caught.value.reason, caught.value.code) == (reason, grpc.StatusCode.UNAUTHENTICATED)
    assert caught.value.request_id


def test_what_a_reader_may_not_is_an_access_error(connect, guarded):
    with pytest.raises(AccessError) as caught:
        connect(guarded.address, tls=guarded.tls, token=SECRET).rollback()

    assert (caught.value.reason, caught.value.code) == ("ROLE_MISSING", grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize("parts", [None, {"ca": None}, {"certificate": None, "key": None}])
def test_a_connection_that_is_not_what_the_server_wants_says_what_to_pass(connect, guarded, parts):
    tls = None if parts is None else replace(guarded.tls, **parts)
    with pytest.raises(UnavailableError, match=r"tls=Tls\("):
        connect(guarded.address, tls=tls, token=SECRET, attempts=1).families()


def test_another_name_than_the_targets_can_be_expected_of_the_server(connect, guarded):
    for name, is_trusted in (("bees.example", True), ("wasps.example", False)):
        client = connect(guarded.address, tls=replace(guarded.tls, server_name=name), token=SECRET, attempts=1)
        if is_trusted:
            assert len(client.families()) == 3
        else:
            with pytest.raises(UnavailableError):
                client.families()


def test_a_token_file_and_a_function_are_asked_anew_for_every_call(connect, tmp_path):
    stranger = Stranger({"ListFamilies": lambda *_: b""})
    token_file, threads = tmp_path / "token", []

    def tell():
        threads.append(threading.current_thread())
        return token_file.read_text().strip()

    with serve_stranger(stranger) as address:
        for source in (token_file, tell):
            client = connect(address, token=source)
            for token in ("first", "second"):
                token_file.write_text(f"{token}\n")
                client.families()

    sent = [metadata["authorization"] for _, metadata in stranger.calls]
    assert sent == ["Bearer first", "Bearer second"] * 2
    assert len(threads) == 2


def test_a_function_that_takes_its_time_holds_up_no_other_task():
    asked, answered = threading.Event(), threading.Event()

    def tell():
        asked.set()
        assert answered.wait(30)
        return "token"

    async def scenario(address):
        async with AsyncClient(address, token=tell) as client:
            call = asyncio.create_task(client.families())
            await asyncio.to_thread(asked.wait, 30)
            answered.set()
            await call

    with serve_stranger(Stranger({"ListFamilies": lambda *_: b""})) as address:
        asyncio.run(scenario(address))


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "nüsse", 3, None])
def test_what_is_no_token_is_refused_before_it_is_sent_and_not_quoted(connect, token):
    stranger = Stranger({"ListFamilies": lambda *_: b""})
    with serve_stranger(stranger) as address, pytest.raises(CredentialsError, match="one word") as caught:
        connect(address, token=lambda: token).families()

    assert stranger.asked == 0
    assert caught.value.code is None
    assert not token or str(token) not in str(caught.value)


def test_a_token_file_that_can_not_be_read_is_named(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for path in (tmp_path / "nowhere", tmp_path, binary):
        with pytest.raises(CredentialsError, match=path.name):
            read_token(path)


def test_a_token_goes_unencrypted_to_this_machine_alone_unless_told_otherwise():
    for target in ("bees.example:50051", "10.0.0.1:50051", "127.0.0.1.example:1", "localhost.example:1", "[::]:1"):
        with pytest.raises(ValueError, match="tls="):
            ChannelConfig(target=target, token=SECRET)
        ChannelConfig(target=target, token=SECRET, tls=Tls())
        ChannelConfig(target=target, token=SECRET, allow_insecure_token=True)
        ChannelConfig(target=target)


@pytest.mark.parametrize(
    ("target", "is_here"),
    [
        ("127.0.0.1:50051", True),
        ("127.0.0.9:1", True),
        ("localhost:1", True),
        ("localhost", True),
        ("[::1]:1", True),
        ("::1", True),
        ("unix:/run/bees", True),
        ("unix-abstract:bees", True),
        ("dns:///localhost:1", True),
        ("dns://8.8.8.8/bees.example:1", False),
        ("ipv4:127.0.0.1:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("ipv6:[::1]:1", True),
        ("ipv6:[2001:db8::1]:1", False),
        ("0.0.0.0:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
        ("bees:1", False),
        ("xds:///localhost:1", False),
    ],
)
def test_only_what_can_not_leave_the_machine_is_loopback(target, is_here):
    assert is_loopback(target) is is_here


def test_no_secret_is_shown(guarded):
    config = ChannelConfig(tls=guarded.tls, token=SECRET)
    with Client(guarded.address, tls=guarded.tls, token=SECRET) as client:
        shown = f"{config!r} {client!r} {guarded.tls!r} {vars(client)!r}"

    assert SECRET not in shown
    assert "own.key" not in shown


def test_half_a_pair_is_a_value_error_and_a_tls_is_frozen():
    for parts in ({"certificate": "own.pem"}, {"key": "own.key"}):
        with pytest.raises(ValueError, match="certificate and key go together"):
            Tls(**parts)
    with pytest.raises(FrozenInstanceError):
        Tls().ca = "other.pem"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("part", "content", "fault"),
    [
        ("ca", None, r"ca can't be read: No such file"),
        ("ca", b"no certificate", "can't be used"),
        ("ca", b"\xff", "no text in PEM"),
        ("certificate", None, "certificate can't be read: No such file"),
        ("certificate", b"no certificate", "can't be used"),
        ("key", b"no key", "can't be used"),
    ],
)
def test_files_that_can_not_be_used_are_one_error_when_the_client_is_made(
    connect, guarded, tmp_path, part, content, fault
):
    path = tmp_path / part
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CredentialsError, match=fault) as caught:
        connect(guarded.address, tls=replace(guarded.tls, **{part: path}))

    assert caught.value.code is None


def test_a_key_of_another_certificate_is_an_error_when_the_client_is_made(guarded):
    with pytest.raises(CredentialsError, match="key values mismatch"):
        Client(guarded.address, tls=replace(guarded.tls, key=guarded.home / "server.key"))
