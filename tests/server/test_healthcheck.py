"""The check of containers against a real server."""

import json
import subprocess
import sys

import pytest

from beedex.server.healthcheck import VARIABLE, check_health, main

TIMEOUT_S = 30


@pytest.fixture(scope="module")
def http_address(server_process, tiny_index, tmp_path_factory):
    """HOST:PORT of the HTTP side of a server that serves."""
    ready_file = tmp_path_factory.mktemp("healthcheck") / "ready"
    options = ["--threads", "1", "--set", "watch.http_listen=127.0.0.1:0"]
    with server_process(tiny_index, ready_file, *options) as (process, _):
        yield process.stdout.readline().rpartition("http://")[2].strip()


def test_a_server_that_answers_is_healthy(http_address, capsys):
    assert main([http_address]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ready"


def test_a_server_that_listens_everywhere_is_asked_here(http_address):
    port = http_address.rpartition(":")[2]

    assert check_health(f"0.0.0.0:{port}")[0]


def test_a_server_without_an_index_is_not_healthy(tmp_path, capsys, monkeypatch):
    command = [sys.executable, "-m", "beedex.server", "--index", tmp_path, "--listen", "127.0.0.1:0"]
    command += ["--set", "wait_for_index=true", "--set", "watch.http_listen=127.0.0.1:0"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().rpartition("http://")[2].strip()
        monkeypatch.setenv(VARIABLE, address)
        assert main([]) == 1
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)

    assert json.loads(capsys.readouterr().out)["status"] == "not ready"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:1", "nonsense", ":", "127.0.0.1:x"])
def test_nobody_is_not_healthy(address, capsys):
    assert main([address]) == 1
    assert f"nobody answers at {address}" in capsys.readouterr().out


def test_no_address_is_wrong_usage(monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)

    assert main([]) == 2
    assert VARIABLE in capsys.readouterr().err


def test_a_check_is_cheap():
    code = "import sys, beedex.server.healthcheck; print({'grpc', 'pydantic', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown.strip() == "set()"
