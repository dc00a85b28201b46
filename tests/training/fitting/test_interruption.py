"""SIGTERM while work ends at a moment of its own choice."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from beedex.training.fitting.interruption import StoppedBySignal, await_sigterm


def test_sigterm_is_noted_and_the_old_handler_is_back_behind():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("old"))
    try:
        with await_sigterm() as request:
            assert not request.received
            os.kill(os.getpid(), signal.SIGTERM)
            assert request.received
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert heard == ["old"]


def test_the_old_handler_is_back_behind_an_error_too():
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyError), await_sigterm():
        raise KeyError

    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_nothing():
    handlers = []

    def work():
        with await_sigterm() as request:
            handlers.append((signal.getsignal(signal.SIGTERM), request.received))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert handlers == [(before, False)]


def test_uncaught_it_ends_the_process_with_143_behind_its_cleanup():
    program = """
from beedex.training.fitting.interruption import StoppedBySignal
try:
    raise StoppedBySignal("saved")
finally:
    print("cleaned up")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (143, "cleaned up\n", "")
    assert str(StoppedBySignal("saved")) == "saved"


def test_work_that_may_be_killed_at_any_instant_ends_at_once_with_a_note():
    program = """
import os, signal
from beedex.training.fitting.interruption import await_sigterm, end_at_sigterm
with end_at_sigterm("saved; go on"):
    with await_sigterm() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        print("ended as it likes:", request.received)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        print("never reached")
    finally:
        print("cleaned up")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 143
    assert done.stdout == "ended as it likes: True\ncleaned up\n"
    assert done.stderr == "beedex: note: saved; go on\n"
