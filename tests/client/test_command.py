"""The `beedex` command: what it prints, where, and how it ends."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command_name

from beedex.client import Client
from beedex.client.command import build_app, main
from beedex.client.parts import load_parts


def list_commands(app, *path):
    """The words of every command, its groups' names first."""
    for command in app.registered_commands:
        yield (*path, command.name or get_command_name(command.callback.__name__))
    for group in app.registered_groups:
        yield from list_commands(group.typer_instance, *path, *([group.name] if group.name else []))


ALL_COMMANDS = sorted(list_commands(build_app(load_parts())))

ANSWER_KEYS = {"photo", "verdict", "family", "probability", "families", "neighbors", "fingerprint", "snapshot", "error"}


@pytest.fixture
def photos(tiny_gallery):
    return [str(path) for path in sorted(tiny_gallery.rglob("*_000.jpg"))]


@pytest.fixture
def target(address, monkeypatch):
    monkeypatch.setenv("BEEDEX_TARGET", address)
    return address


def test_identify_prints_one_json_document(target, photos, capsys):
    assert main(["identify", *photos, "--json", "-k", "2"]) == 0
    answers = json.loads(capsys.readouterr().out)

    assert [answer["photo"] for answer in answers] == photos
    assert [answer["family"] for answer in answers] == ["amber", "blue", "clover"]
    with Client(target) as client:
        fingerprint = client.status().fingerprint
    for answer in answers:
        assert answer.keys() >= ANSWER_KEYS
        assert answer["verdict"] == "MATCH"
        assert sum(score["probability"] for score in answer["families"]) == pytest.approx(1)
        assert len(answer["neighbors"]) == 2
        assert answer["neighbors"][0].keys() >= {"entry_id", "family", "similarity"}
        assert (answer["fingerprint"], answer["snapshot"], answer["error"]) == (fingerprint, 1, None)


@pytest.mark.usefixtures("target")
def test_a_photo_that_fails_has_its_error_and_the_others_their_answers(photos, tmp_path, capsys):
    text = tmp_path / "bee.txt"
    text.write_text("bee")
    missing = str(tmp_path / "nowhere.jpg")

    assert main(["identify", photos[0], str(text), missing, photos[1], "--json"]) == 1
    captured = capsys.readouterr()
    answers = json.loads(captured.out)

    assert [answer["family"] for answer in answers] == ["amber", None, None, "blue"]
    assert answers[1]["error"].keys() >= {"code", "reason", "message"}
    assert (answers[1]["error"]["code"], answers[1]["error"]["reason"]) == ("INVALID_ARGUMENT", "NOT_A_PHOTO")
    assert (answers[2]["error"]["code"], answers[2]["error"]["reason"]) == (None, "NO_SUCH_FILE")
    assert answers[1].keys() == answers[0].keys()
    assert captured.err == ""


@pytest.mark.usefixtures("target")
def test_identify_shows_verdict_bars_and_neighbors_to_people(photos, capsys):
    assert main(["identify", photos[0], "-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert any("MATCH" in line and "amber" in line for line in lines)
    assert any("█" in line and "%" in line for line in lines)
    assert sum(" amber/amber_" in line for line in lines) == 2


@pytest.mark.usefixtures("target")
def test_a_photo_that_fails_is_one_line_on_stderr(photos, tmp_path, capsys):
    missing = str(tmp_path / "nowhere.jpg")

    assert main(["identify", missing, photos[0]]) == 1
    captured = capsys.readouterr()

    assert captured.err.startswith(f"beedex: error: {missing}: there is no photo")
    assert len(captured.err.splitlines()) == 1
    assert "amber" in captured.out


@pytest.mark.usefixtures("target")
def test_neighbors_prints_a_table_or_json(photos, capsys):
    assert main(["neighbors", photos[2], "-k", "3"]) == 0
    assert capsys.readouterr().out.count(" clover/clover_") == 3

    assert main(["neighbors", photos[2], "-k", "3", "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert [neighbor["family"] for neighbor in answer["neighbors"]] == ["clover"] * 3
    assert answer["error"] is None


def test_embed_writes_one_row_a_photo(target, photos, tmp_path, capsys):
    out = tmp_path / "vectors.npy"

    assert main(["embed", *photos, "--out", str(out)]) == 0
    vectors = np.load(out)
    captured = capsys.readouterr()

    assert (vectors.shape, vectors.dtype) == ((3, 32), np.float32)
    with Client(target) as client:
        for photo, vector in zip(photos, vectors, strict=True):
            assert vector @ client.embed(photo).vector >= 0.9999
    assert captured.out == ""
    assert "3 x 32" in captured.err


@pytest.mark.usefixtures("target")
def test_embed_writes_nothing_unless_every_photo_can_be_embedded(photos, tmp_path, capsys):
    out = tmp_path / "vectors.npy"

    damaged = tmp_path / "bee.jpg"
    damaged.write_bytes(b"bee")

    assert main(["embed", photos[0], str(damaged), "--out", str(out)]) == 1
    assert list(tmp_path.iterdir()) == [damaged]
    assert "nothing was written" in capsys.readouterr().err


@pytest.mark.usefixtures("target")
def test_embed_into_a_directory_that_is_not_there_is_one_line(photos, tmp_path, capsys):
    assert main(["embed", photos[0], "--out", str(tmp_path / "no" / "vectors.npy")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_option_wins_over_the_environment(address, photos, monkeypatch, capsys):
    monkeypatch.setenv("BEEDEX_TARGET", "127.0.0.1:1")

    assert main(["identify", photos[0], "--target", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["family"] == "amber"


def test_no_server_is_one_line_with_the_way_out(photos, capsys):
    assert main(["neighbors", photos[0], "--target", "127.0.0.1:1"]) == 1
    message = capsys.readouterr().err

    assert len(message.splitlines()) == 1
    assert message.startswith("beedex: error: no beedex server can be reached at 127.0.0.1:1")
    assert "beedex serve --index DIR" in message


@pytest.mark.parametrize(
    "words",
    [
        ["nosuchcommand"],
        ["identify"],
        ["identify", "x.jpg", "--nosuchoption"],
        ["identify", "x.jpg", "-k", "three"],
        ["identify", "x.jpg", "-k", "0"],
        ["identify", "x.jpg", "--timeout", "0"],
        ["identify", "x.jpg", "--tls-key", "key.pem"],
        ["identify", "x.jpg", "--pictures", "oil"],
        ["identify", "x.jpg", "--watch", "photos"],
        ["identify", "x.jpg", "--existing"],
        ["photo", "0123456789abcdef"],
        ["embed", "x.jpg"],
        ["serve"],
        ["serve", "--index", "x", "--listen", "nowhere"],
    ],
)
def test_wrong_usage_is_one_line_and_2(words, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()

    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("beedex: error: ")
    assert "--help`" in captured.err


def test_serving_what_is_no_index_is_one_line_and_1(tmp_path, capsys):
    assert main(["serve", "--index", str(tmp_path), "--listen", "127.0.0.1:0"]) == 1
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("beedex: error: ")
    assert "beedex index build" in captured.err


def test_serving_on_a_port_that_is_taken_is_one_line_and_1(address, tmp_path, capsys):
    assert main(["serve", "--index", str(tmp_path), "--listen", address]) == 1
    assert f"can't listen on {address}" in capsys.readouterr().err.splitlines()[-1]


def test_version_and_help_end_with_0(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("beedex ")
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out.split()
    assert main([]) == 0
    assert capsys.readouterr().out.split() == shown
    assert "identify" in shown


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_commands_help_ends_with_an_example(command, capsys):
    assert main([*command, "--help"]) == 0
    assert f"Example: beedex {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


def test_an_interrupt_is_130(monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "status", interrupt)

    assert main(["status"]) == 130


@pytest.mark.usefixtures("target")
def test_embed_tells_what_it_wrote_as_json(photos, tmp_path, capsys):
    out = tmp_path / "vectors.npy"

    assert main(["embed", *photos, "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)

    assert (told["out"], told["photos"], told["dimension"], told["snapshot"]) == (str(out), photos, 32, 1)
    assert captured.err == ""


def test_status_families_and_snapshots_are_tables_or_json(target, capsys):
    for command, key, value in (
        ("status", "entries", 18),
        ("families", "families", [{"name": name, "entries": 6} for name in ("amber", "blue", "clover")]),
    ):
        assert main([command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[key] == value
    assert main(["snapshots", "--json"]) == 0
    assert [snapshot["version"] for snapshot in json.loads(capsys.readouterr().out)["snapshots"]] == [1]

    assert main(["status"]) == 0
    assert f"at {target}" in capsys.readouterr().out
    assert main(["families"]) == 0
    assert capsys.readouterr().out.split() == ["6", "amber", "6", "blue", "6", "clover"]
    assert main(["snapshots"]) == 0
    assert capsys.readouterr().out.startswith("*      1  ")


@pytest.mark.usefixtures("target")
def test_photo_writes_the_file_of_an_entry(tiny_gallery, photos, tmp_path, capsys):
    out = tmp_path / "bee.jpg"
    entry = hashlib.sha256(Path(photos[0]).read_bytes()).hexdigest()[:16]

    assert main(["photo", entry, "--out", str(out)]) == 0
    assert out.read_bytes() == Path(photos[0]).read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((tiny_gallery / "amber" / "amber_000.jpg").stat().st_mode)

    assert main(["photo", entry, "--out", str(out), "--max-side", "32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["size_bytes"] == out.stat().st_size
    with Image.open(out) as shrunk:
        assert max(shrunk.size) == 32


@pytest.mark.usefixtures("target")
def test_an_entry_that_is_not_there_is_one_line_and_no_file(tmp_path, capsys):
    assert main(["photo", "0" * 16, "--out", str(tmp_path / "bee.jpg")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_in_the_document_and_one_line(photos, capsys):
    assert main(["identify", *photos, "--target", "127.0.0.1:1", "--json"]) == 1
    captured = capsys.readouterr()
    answers = json.loads(captured.out)

    assert [answer["photo"] for answer in answers] == photos
    assert {answer["error"]["code"] for answer in answers} == {"UNAVAILABLE"}
    assert len(captured.err.splitlines()) == 1


def test_no_server_is_said_once_however_many_photos_there_are(photos, capsys):
    assert main(["identify", *photos, "--target", "127.0.0.1:1"]) == 1
    captured = capsys.readouterr()

    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "--tls" in captured.err


def test_a_token_on_the_command_line_is_refused_and_not_repeated(photos, capsys):
    assert main(["identify", photos[0], "--token", "s3cr3t"]) == 2
    message = capsys.readouterr().err

    assert "--token-file FILE" in message
    assert "s3cr3t" not in message


def test_a_token_does_not_leave_the_machine_in_the_clear(monkeypatch, capsys):
    monkeypatch.setenv("BEEDEX_TOKEN", "s3cr3t")

    assert main(["status", "--target", "bees.example:50051"]) == 2
    message = capsys.readouterr().err
    assert "--insecure" in message
    assert "s3cr3t" not in message


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["noticed at the end", "noticed at once"])
def test_a_reader_that_has_seen_enough_gets_no_traceback(photos, unbuffered):
    command = [sys.executable, "-m", "beedex.client", "identify", photos[0], "-k", "1", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        message = process.stderr.read()

    assert (process.returncode, message) == (1, b"")


def test_the_help_loads_no_heavy_library():
    code = "import sys; from beedex.client.command import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"faiss", "openvino", "tensorflow", "keras", "PIL"} & set(done.stderr.split()) == set()


@pytest.mark.usefixtures("target")
def test_what_goes_into_a_pipe_leaves_the_pipe_in_its_place(photos, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:  # noqa: S607 - wherever the person has it
        assert main(["embed", *photos, "--out", str(pipe)]) == 0
        vectors, _ = reader.communicate()

    assert pipe.is_fifo()
    assert vectors.startswith(b"\x93NUMPY")
