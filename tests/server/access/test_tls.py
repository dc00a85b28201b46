"""Encryption, client certificates, and certificates that change while the server runs."""

import logging
from typing import Any

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.scenarios import run

from beedex.server.access.certificates import open_credentials
from beedex.server.access.roles import Role
from beedex.server.config import AccessConfig, TlsConfig
from beedex.server.errors import CredentialsError
from beedex.v1 import index_pb2, index_pb2_grpc

TIMEOUT_S = 30
OK, UNAVAILABLE, DENIED = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED

# The type stubs of grpcio-health-checking lack its methods.
HealthStub: Any = health_pb2_grpc.HealthStub


async def ask(channel, *, rollback=False, metadata=None):
    """Ask for the status, or for a rollback that there is nothing for; return the code and the reason."""
    # Of the stub's two kinds the type checkers see the blocking one.
    stub: Any = index_pb2_grpc.IndexServiceStub(channel)
    try:
        if rollback:
            await stub.RollbackSnapshot(index_pb2.RollbackSnapshotRequest(), metadata=metadata, timeout=TIMEOUT_S)
        else:
            await stub.GetStatus(index_pb2.GetStatusRequest(), metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        info = error_details_pb2.ErrorInfo()
        packed: Any = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        _ = [detail.Unpack(info) for detail in status_pb2.Status.FromString(packed).details]
        return error.code(), info.reason
    return OK, ""


def test_only_who_trusts_the_servers_authority_is_answered(serving, certificates, connect):
    async def scenario():
        async with (
            serving(tls=certificates.config()) as (address, _, _),
            connect(address, certificates.credentials()) as trusting,
            connect(address, grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())) as doubting,
            connect(address) as plain,
        ):
            return [(await ask(channel))[0] for channel in (trusting, doubting, plain)]

    assert run(scenario) == [OK, UNAVAILABLE, UNAVAILABLE]


def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on(serving, certificates, connect):
    async def scenario():
        old = certificates.credentials()
        async with serving(tls=certificates.config()) as (address, _, _), connect(address, old) as early:
            watching = HealthStub(early).Watch(health_pb2.HealthCheckRequest())
            await watching.read()
            certificates.renew()
            async with connect(address, certificates.credentials()) as late, connect(address, old) as outdated:
                codes = [(await ask(channel))[0] for channel in (early, late, outdated)]
            return codes, watching.done()

    assert run(scenario) == ([OK, OK, UNAVAILABLE], False)


@pytest.mark.parametrize("part", ["certificate", "key"])
def test_half_of_a_new_pair_leaves_the_old_one_and_is_logged_until_the_other_half_is_there(
    serving, certificates, connect, caplog, part
):
    async def scenario():
        before = certificates.credentials()
        async with serving(tls=certificates.config()) as (address, _, _):
            certificates.authority = trustme.CA()
            certificate, key = certificates.issue()
            halves = {"certificate": certificate, "key": key}
            certificates.write(**{part: halves.pop(part)})
            codes = []
            for _ in range(2):
                async with connect(address, before) as channel:
                    codes.append((await ask(channel))[0])
            complaints = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
            certificates.write(**halves)
            async with connect(address, certificates.credentials()) as channel:
                codes.append((await ask(channel))[0])
        return codes, complaints

    codes, complaints = run(scenario)

    assert codes == [OK, OK, OK]
    assert len(complaints) == 1
    assert "the certificates changed to what can't be used; those before hold on" in complaints[0]
    assert "the key is another certificate's" in complaints[0]


def test_a_certificate_that_is_cut_off_leaves_the_old_one(serving, certificates, connect, caplog):
    async def scenario():
        async with serving(tls=certificates.config()) as (address, _, _):
            whole = (certificates.folder / "cert.pem").read_bytes()
            certificates.write(certificate=whole[: len(whole) // 2])
            async with connect(address, certificates.credentials()) as channel:
                return (await ask(channel))[0]

    assert run(scenario) is OK
    assert "can't be used together" in caplog.text


def test_with_a_client_ca_only_who_shows_one_of_its_certificates_comes_in_and_is_a_reader(
    serving, certificates, connect
):
    async def scenario():
        async with (
            serving(tls=certificates.config(clients=True)) as (address, _, _),
            connect(address, certificates.credentials(shown_by=certificates.clients)) as known,
            connect(address, certificates.credentials(shown_by=trustme.CA())) as stranger,
            connect(address, certificates.credentials()) as nobody,
        ):
            codes = [(await ask(channel))[0] for channel in (known, stranger, nobody)]
            return codes, await ask(known, rollback=True)

    assert run(scenario) == ([OK, UNAVAILABLE, UNAVAILABLE], (DENIED, "ROLE_MISSING"))


def test_a_client_certificate_can_make_an_admin(serving, certificates, connect):
    async def scenario():
        access = AccessConfig(certificate_role=Role.ADMIN)
        async with (
            serving(tls=certificates.config(clients=True), access=access) as (address, _, _),
            connect(address, certificates.credentials(shown_by=certificates.clients)) as known,
        ):
            return await ask(known, rollback=True)

    code, _ = run(scenario)

    assert code not in {OK, DENIED, grpc.StatusCode.UNAUTHENTICATED}


def test_certificate_and_token_may_both_be_asked_for(serving, certificates, tokens, connect):
    bearer = (("authorization", f"Bearer {tokens.reader}"),)

    async def scenario():
        async with (
            serving(tls=certificates.config(clients=True), access=tokens.config) as (address, _, _),
            connect(address, certificates.credentials(shown_by=certificates.clients)) as known,
            connect(address, certificates.credentials()) as nobody,
        ):
            return [await ask(known), await ask(known, metadata=bearer), await ask(nobody, metadata=bearer)]

    assert run(scenario) == [(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING"), (OK, ""), (UNAVAILABLE, "")]


def test_a_new_client_ca_lets_new_clients_in_and_the_old_ones_out(serving, certificates, connect):
    async def scenario():
        async with serving(tls=certificates.config(clients=True)) as (address, _, _):
            before, after = certificates.clients, trustme.CA()
            (certificates.folder / "clients.pem").write_bytes(after.cert_pem.bytes())
            codes = []
            for authority in (before, after):
                async with connect(address, certificates.credentials(shown_by=authority)) as channel:
                    codes.append((await ask(channel))[0])
            return codes

    assert run(scenario) == [UNAVAILABLE, OK]


def break_missing(certificates):
    (certificates.folder / "key.pem").unlink()


def break_foreign(certificates):
    certificates.write(key=certificates.issue()[1])


def break_swapped(certificates):
    certificate, key = certificates.issue()
    certificates.write(key, certificate)


def break_empty(certificates):
    certificates.write(certificate=b"")


def break_open(certificates):
    (certificates.folder / "key.pem").chmod(0o622)


def break_encrypted(certificates):
    file = certificates.folder / "key.pem"
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    wrapping = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    file.write_bytes(key.private_bytes(*form, wrapping))


def break_clients(certificates):
    (certificates.folder / "clients.pem").write_text("no certificate")


def break_clients_open(certificates):
    (certificates.folder / "clients.pem").chmod(0o666)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (break_missing, r"can't be read: .*key.pem: No such file"),
        (break_foreign, "the key is another certificate's"),
        (break_swapped, "can't be used together"),
        (break_empty, "can't be used together"),
        (break_open, r"key.pem can be changed by everybody .*chmod o-w"),
        (break_encrypted, "key.pem is encrypted"),
        (break_clients, "clients.pem can't be used"),
        (break_clients_open, r"clients.pem can be changed by everybody"),
    ],
)
def test_files_that_can_not_be_used_are_one_error_at_the_beginning(certificates, damage, fault):
    damage(certificates)

    with pytest.raises(CredentialsError, match=fault):
        open_credentials(certificates.config(clients=True))


def test_a_key_that_everybody_may_read_is_warned_of(certificates, caplog):
    (certificates.folder / "key.pem").chmod(0o644)
    open_credentials(certificates.config())

    assert "key.pem can be read by everybody on this machine (-rw-r--r--)" in caplog.text


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"certificate": "c"}, "certificate and key go together"),
        ({"key": "k"}, "certificate and key go together"),
        ({"client_ca": "c"}, "client_ca needs a server with certificate and key"),
    ],
)
def test_half_a_configuration_is_refused(parts, fault):
    with pytest.raises(ValueError, match=fault):
        TlsConfig(**parts)
