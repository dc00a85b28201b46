"""What the commands print, as files in `golden/`: help and answers at 80 columns, documents by their keys.

Write the files again, and look at what changed, with

    BEEDEX_WRITE_GOLDEN=1 .venv/bin/pytest tests/client/test_command_golden.py; git diff tests/client/golden
"""

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from beedex.client.command import main
from beedex.client.parts import load_parts

GOLDEN = Path(__file__).parent / "golden"

CLIENT_COMMANDS = ("identify", "neighbors", "embed", "families", "photo", "status", "snapshots", "doctor")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def home(address, tiny_gallery, monkeypatch):
    """A folder in which the photos have the same short names on every machine."""
    monkeypatch.setenv("BEEDEX_TARGET", address)
    monkeypatch.chdir(tiny_gallery)
    return tiny_gallery


def compare(name, text):
    path = GOLDEN / name
    if os.environ.get("BEEDEX_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def strip_lines(text):
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def mask(text):
    """Put signs for what another version of a library or another machine may print."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "F" * 64, text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "E" * 16, text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "F" * 12, text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "YYYY-MM-DD HH:MM UTC", text)
    text = re.sub(r"beedex \d+\.\d+\.\d+\S*", "beedex X.Y.Z", text)
    text = re.sub(r"\b0\.\d{3}\b", "0.nnn", text)
    text = re.sub(r"\b0\.\d\d\b", "0.nn", text)
    text = re.sub(r"[ \d]{2}\d\.\d%", "  n.n%", text)
    return strip_lines(re.sub(r"[█·]{20,}", "BAR", text))


def outline(value):
    """The shape of a document: keys, and the kinds of their values; of a list, its first element."""
    if isinstance(value, dict):
        return {key: outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value[:1]]
    return "null" if value is None else type(value).__name__


def run(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    # Shown where a test fails.
    print(captured.err)
    return code, captured.out


@pytest.mark.parametrize("command", CLIENT_COMMANDS)
def test_the_help_of_a_command(command, capsys):
    code, printed = run(capsys, command, "--help")

    assert code == 0
    compare(f"help-{command}.txt", strip_lines(printed))


def test_the_help_of_the_base_install(monkeypatch, capsys):
    parts = [part if part.extra == "" else replace(part, missing=("something",)) for part in load_parts()]
    monkeypatch.setattr("beedex.client.command.load_parts", lambda: parts)
    code, printed = run(capsys, "--help")

    assert code == 0
    compare("help.txt", strip_lines(printed))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("identify", ["identify", "blue/blue_000.jpg", "amber/amber_000.jpg", "-k", "2"]),
        ("neighbors", ["neighbors", "blue/blue_000.jpg", "-k", "2"]),
        ("families", ["families"]),
        ("status", ["status"]),
        ("snapshots", ["snapshots"]),
    ],
)
def test_what_people_read(name, words, capsys):
    code, printed = run(capsys, *words)

    assert code == 0
    compare(f"{name}.txt", mask(printed))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("identify", ["identify", "blue/blue_000.jpg"]),
        ("identify-failed", ["identify", "nowhere.jpg"]),
        ("neighbors", ["neighbors", "blue/blue_000.jpg"]),
        ("neighbors-failed", ["neighbors", "nowhere.jpg"]),
        ("embed", ["embed", "blue", "--out", "{scratch}/vectors.npy"]),
        ("photo", ["photo", "{entry}", "--out", "{scratch}/bee.jpg"]),
        ("families", ["families"]),
        ("status", ["status"]),
        ("snapshots", ["snapshots"]),
        ("doctor", ["doctor"]),
    ],
)
def test_the_keys_of_a_document(name, words, home, tmp_path, monkeypatch, capsys):
    # Of all libraries one, of all extras one that is missing, of all weights none, on every machine.
    monkeypatch.setattr("beedex.client.command.doctor.requires", lambda _name: ["no-such-thing; extra == 'x'"])
    monkeypatch.setattr("beedex.client.command.doctor.LIBRARIES", {"numpy": "numpy"})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    entry = hashlib.sha256((home / "blue" / "blue_000.jpg").read_bytes()).hexdigest()[:16]
    spelled = [word.format(scratch=tmp_path, entry=entry) for word in words]
    code, printed = run(capsys, *spelled, "--json")

    assert code == (1 if name.endswith("failed") else 0)
    compare(f"{name}.json", json.dumps(outline(json.loads(printed)), indent=2) + "\n")
