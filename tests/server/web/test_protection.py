"""Tokens, roles and TLS over HTTP: the same file, the same certificates and the same refusals as over gRPC."""

import ssl

import httpx
import pytest
import trustme
from tests.server.access.conftest import Certificates, Tokens
from tests.server.scenarios import run

from beedex.server.access.roles import Role
from beedex.server.config import AccessConfig
from beedex.server.errors import ListenError
from beedex.server.web.paths import WEB_METHODS

OPEN = ("/", "/openapi.json", "/healthz", "/livez", "/readyz")


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


@pytest.fixture
def tokens(tmp_path):
    return Tokens(tmp_path / "tokens")


def trust(certificates, *, shown_by=None):
    """What a client trusts, and the certificate that it shows."""
    context = ssl.create_default_context(cadata=certificates.authority.cert_pem.bytes().decode())
    if shown_by is not None:
        shown_by.issue_cert("bob@example.org").configure_cert(context)
    return context


def bear(token):
    return {"Authorization": f"Bearer {token}"}


async def ask(http, method, **options):
    verb, path = method.split()
    return await http.request(verb, path.replace("{entry_id}", "0123456789abcdef"), **options)


def test_every_route_asks_for_a_token_but_those_that_tell_nothing(web_serving, tokens):
    async def scenario():
        async with web_serving(access=tokens.config) as served, httpx.AsyncClient(base_url=served.url) as http:
            for method in (*WEB_METHODS, "GET /metrics"):
                reply = await ask(http, method)
                error = reply.json()["error"]
                assert (reply.status_code, error["code"], error["reason"]) == (401, "UNAUTHENTICATED", "TOKEN_MISSING")
                assert reply.headers["www-authenticate"] == 'Bearer realm="beedex"'
                assert (await ask(http, method, headers=bear(tokens.reader))).status_code != 401
            for path in OPEN:
                assert (await http.get(path)).status_code == 200

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (bear("beedex_nobody"), "TOKEN_UNKNOWN"),
        ({"Authorization": "beedex_reader-token"}, "TOKEN_MISSING"),
        ({"Authorization": "Basic beedex_reader-token"}, "TOKEN_MISSING"),
        ([("Authorization", "Bearer beedex_reader-token")] * 2, "TOKEN_MISSING"),
        ({"Cookie": "token=beedex_reader-token"}, "TOKEN_MISSING"),
    ],
)
def test_what_is_no_token_of_the_servers_is_refused(web_serving, tokens, headers, reason):
    async def scenario():
        async with web_serving(access=tokens.config) as served, httpx.AsyncClient(base_url=served.url) as http:
            reply = await http.get("/v1/families", headers=headers)
            assert (reply.status_code, reply.json()["error"]["reason"]) == (401, reason)
            assert "reader-token" not in reply.text

    run(scenario)


def test_a_body_is_not_read_of_who_has_no_token(web_serving, tokens):
    async def scenario():
        async with web_serving(access=tokens.config) as served, httpx.AsyncClient(base_url=served.url) as http:
            reply = await http.post("/v1/identify", content=b"x" * 1_000_000)
            assert (reply.status_code, reply.headers["connection"]) == (401, "close")

    run(scenario)


def test_a_token_that_was_taken_back_is_refused(web_serving, tokens, monkeypatch):
    monkeypatch.setattr("beedex.server.access.callers.SECONDS_BETWEEN_LOOKS", 0.0)

    async def scenario():
        async with web_serving(access=tokens.config) as served, httpx.AsyncClient(base_url=served.url) as http:
            assert (await http.get("/v1/families", headers=bear(tokens.reader))).status_code == 200
            tokens.write(ann=(Role.ADMIN, tokens.admin))
            assert (await http.get("/v1/families", headers=bear(tokens.reader))).status_code == 401
            assert (await http.get("/v1/families", headers=bear(tokens.admin))).status_code == 200

    run(scenario)


def test_where_there_are_tokens_nobody_between_keeps_a_photo(web_serving, tokens, tiny_gallery, tiny_searcher):
    entry = tiny_searcher.view.read(tiny_searcher.view.list_ids())[0]

    async def scenario():
        async with (
            web_serving(access=tokens.config, gallery_dir=tiny_gallery) as served,
            httpx.AsyncClient(base_url=served.url, headers=bear(tokens.reader)) as http,
        ):
            reply = await http.get(f"/v1/photos/{entry.entry_id}?size=32")
            assert reply.headers["cache-control"].startswith("private, ")

    run(scenario)


def test_the_page_is_encrypted_and_its_certificate_is_renewed_while_it_is_served(web_serving, certificates):
    async def scenario():
        async with web_serving(tls=certificates.config()) as served:
            assert served.url.startswith("https://")
            for _ in range(2):
                async with httpx.AsyncClient(base_url=served.url, verify=trust(certificates)) as http:
                    assert (await http.get("/v1/families")).status_code == 200
                certificates.renew()
            with pytest.raises(httpx.TransportError):
                await httpx.AsyncClient().get(served.url.replace("https", "http"))

    run(scenario)


def test_who_shows_no_certificate_that_is_asked_for_gets_no_answer(web_serving, certificates):
    async def scenario():
        async with web_serving(tls=certificates.config(clients=True)) as served:
            for shown_by in (None, trustme.CA()):
                context = trust(certificates, shown_by=shown_by)
                async with httpx.AsyncClient(base_url=served.url, verify=context) as http:
                    with pytest.raises(httpx.TransportError):
                        await http.get("/healthz")
            context = trust(certificates, shown_by=certificates.clients)
            async with httpx.AsyncClient(base_url=served.url, verify=context) as http:
                assert (await http.get("/v1/families")).status_code == 200

    run(scenario)


def test_whose_certificates_are_asked_for_changes_while_it_is_served(web_serving, certificates):
    async def scenario():
        async with web_serving(tls=certificates.config(clients=True)) as served:
            former, certificates.clients = certificates.clients, trustme.CA()
            (certificates.folder / "clients.pem").write_bytes(certificates.clients.cert_pem.bytes())
            context = trust(certificates, shown_by=certificates.clients)
            async with httpx.AsyncClient(base_url=served.url, verify=context) as http:
                assert (await http.get("/v1/families")).status_code == 200
            context = trust(certificates, shown_by=former)
            async with httpx.AsyncClient(base_url=served.url, verify=context) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get("/v1/families")

    run(scenario)


def test_the_page_is_not_for_other_machines_unless_it_is_protected(web_serving):
    async def scenario():
        with pytest.raises(ListenError, match="lets other machines in"):
            async with web_serving(web={"listen": "0.0.0.0:0"}, wait_until="there"):
                pass

    run(scenario)


def test_somebody_may_take_the_responsibility(web_serving):
    async def scenario():
        web = {"listen": "0.0.0.0:0", "hosts": ("bees.example",)}
        async with web_serving(web=web, access=AccessConfig(allow_insecure=True)) as served:
            url = served.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the address is read, not bound
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/v1/families", headers={"Host": "bees.example"})).status_code == 200
                assert (await http.get("/v1/families", headers={"Host": "wasps.example"})).status_code == 421

    run(scenario)
