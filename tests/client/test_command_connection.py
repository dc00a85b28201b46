"""The options of a connection, against a server that wants a certificate and a token."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from beedex.client.command import main


@dataclass
class Guarded:
    """A server, the files of a caller that it knows, and the caller's token."""

    address: str
    home: Path
    token: str

    @property
    def tls_options(self):
        files = {"--tls-ca": "ca.pem", "--tls-certificate": "own.pem", "--tls-key": "own.key"}
        return [word for option, name in files.items() for word in (option, str(self.home / name))]


def write_pem(path, *blobs):
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


@pytest.fixture(scope="module")
def guarded(served_index, server_process, run_beedex, tmp_path_factory):
    home = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    issued, own = authority.issue_cert("127.0.0.1"), authority.issue_cert("ann@example.org")
    ca = write_pem(home / "ca.pem", authority.cert_pem)
    write_pem(home / "own.pem", *own.cert_chain_pems)
    write_pem(home / "own.key", own.private_key_pem)
    certificate = write_pem(home / "server.pem", *issued.cert_chain_pems)
    key = write_pem(home / "server.key", issued.private_key_pem)
    tokens = home / "tokens"
    made = run_beedex("token", "new", "--name", "ann", "--file", tokens, "--json")
    options = ["--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", ca, "--tokens", tokens]
    with server_process(served_index, home, *options) as (_, address):
        yield Guarded(address, home, json.loads(made.stdout)["token"])


def ask(guarded, capsys, *options):
    code = main(["status", "--target", guarded.address, "--timeout", "5", "--json", *options])
    return code, capsys.readouterr()


def test_a_certificate_and_a_token_from_a_file_or_the_variable_let_in(guarded, monkeypatch, tmp_path, capsys):
    token_file = tmp_path / "token"
    token_file.write_text(f"{guarded.token}\n")
    code, captured = ask(guarded, capsys, *guarded.tls_options, "--token-file", str(token_file))
    assert (code, json.loads(captured.out)["entries"]) == (0, 18)

    monkeypatch.setenv("BEEDEX_TOKEN", guarded.token)
    code, captured = ask(guarded, capsys, *guarded.tls_options)
    assert (code, json.loads(captured.out)["entries"]) == (0, 18)


def test_what_is_lacking_is_one_line_that_names_the_option(guarded, monkeypatch, capsys):
    code, captured = ask(guarded, capsys, *guarded.tls_options)
    assert (code, captured.out) == (1, "")
    assert len(captured.err.splitlines()) == 1
    assert "--token-file FILE" in captured.err

    monkeypatch.setenv("BEEDEX_TOKEN", guarded.token)
    code, captured = ask(guarded, capsys)
    assert (code, captured.out) == (1, "")
    assert "--tls" in captured.err


def test_the_doctor_tells_of_tls_and_token_and_no_secret(guarded, monkeypatch, capsys):
    monkeypatch.setattr("beedex.client.command.doctor.LIBRARIES", {})
    monkeypatch.setenv("BEEDEX_TOKEN", guarded.token)
    words = ["doctor", "--target", guarded.address, *guarded.tls_options, "--json"]

    assert main(words) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["server"].items() >= {"health": "SERVING", "tls": True, "token": "variable"}.items()
    assert guarded.token not in printed
