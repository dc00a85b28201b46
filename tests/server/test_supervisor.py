"""What systemd is told, over a real socket."""

import os
import signal
import socket
import subprocess
import sys
import uuid

import pytest

from beedex.server.supervisor import tell_supervisor

TIMEOUT_S = 30


@pytest.fixture(params=["file", "abstract"])
def supervisor(request, tmp_path, monkeypatch):
    """A socket like systemd's; the environment names it."""
    name = f"@beedex-{uuid.uuid4()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0") if request.param == "abstract" else name)
        listener.settimeout(TIMEOUT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_news_are_lines_of_one_datagram(supervisor):
    tell_supervisor("READY=1", "STATUS=serving")

    assert supervisor.recv(1000) == b"READY=1\nSTATUS=serving"


def test_nobody_is_told_where_nobody_asked(monkeypatch, caplog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_supervisor("READY=1")

    assert caplog.text == ""


def test_a_supervisor_that_is_gone_is_a_warning(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", os.fspath(tmp_path / "gone"))
    tell_supervisor("READY=1")

    assert "can't be told of READY=1" in caplog.text


def test_a_server_that_waits_for_its_index_is_started(tmp_path, supervisor):
    command = [sys.executable, "-m", "beedex.server", "--index", tmp_path, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen([*map(str, command), "--set", "wait_for_index=true"], stderr=subprocess.PIPE)
    try:
        assert supervisor.recv(1000).startswith(b"READY=1\nSTATUS=loading or waiting for the index, on 127.0.0.1:")
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


def test_a_server_is_ready_once_it_answers_and_stopping_once_it_is_told_to(
    server_process, tiny_index, tmp_path, supervisor
):
    with server_process(tiny_index, tmp_path / "ready", "--threads", "1") as (process, address):
        ready = supervisor.recv(1000).decode()
        process.send_signal(signal.SIGTERM)
        stopping = supervisor.recv(1000).decode()
        code = process.wait(TIMEOUT_S)

    assert ready == f"READY=1\nSTATUS=serving on {address}"
    assert stopping == "STOPPING=1"
    assert code == 0
