"""The commands of `beedex index`, run as the command line runs them, on a real index."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beedex.index.index_commands import app
from beedex.index.rebuild import build_index
from beedex.index.snapshots import current_version

COMMANDS = ("build", "status", "list", "verify", "activate", "rollback", "prune", "upsert", "relabel", "delete")


def run(*arguments):
    return CliRunner().invoke(app, ["index", *map(str, arguments)], catch_exceptions=False)


def run_json(*arguments):
    """What the command says with --json: the whole of its standard output is one document."""
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def gallery(tiny_gallery_copy):
    (tiny_gallery_copy / "blue" / "bad.jpg").write_bytes(b"bad")
    return tiny_gallery_copy


@pytest.fixture
def index_dir(gallery, tiny_bundle, tmp_path):
    """Two snapshots; the second lacks a photo."""
    path = tmp_path / "index"
    build_index(gallery, tiny_bundle, path)
    (gallery / "blue" / "blue_000.jpg").unlink()
    build_index(gallery, tiny_bundle, path)
    return path


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_build_prints_its_summary_as_json(gallery, tiny_bundle, tmp_path):
    arguments = ("build", gallery, "--embedder", tiny_bundle, "--index", tmp_path / "index")

    first, second = run_json(*arguments), run_json(*arguments)

    assert first["skipped"][0].keys() == {"path", "reason", "message"}
    assert [(skip["path"], skip["reason"]) for skip in first["skipped"]] == [("blue/bad.jpg", "NOT_A_PHOTO")]
    counts = ("entries", "embedded", "reused", "removed", "snapshot", "published")
    assert [first[name] for name in counts] == [18, 18, 0, 0, 1, True]
    assert [second[name] for name in counts] == [18, 0, 18, 0, 1, False]
    assert len(first["fingerprint"]) == 64
    assert first["seconds"] > 0


def test_build_says_what_it_did_and_names_skipped_photos_on_stderr(gallery, tiny_bundle, tmp_path):
    result = run("build", gallery, "--embedder", tiny_bundle, "--index", tmp_path / "index")

    assert result.exit_code == 0
    assert result.stdout.startswith("18 entries: 18 embedded, 0 reused, 0 removed, 0 relabeled, 1 skipped; "), (
        result.stdout
    )
    assert "snapshot 1 published; embedder " in result.stdout
    assert "skipped blue/bad.jpg: NOT_A_PHOTO" in result.stderr


def test_build_names_no_more_skipped_photos_than_a_screen_holds(gallery, tiny_bundle, tmp_path):
    for number in range(30):
        (gallery / "blue" / f"bad_{number}.jpg").write_bytes(b"bad")

    result = run("build", gallery, "--embedder", tiny_bundle, "--index", tmp_path / "index")

    lines = [line for line in result.stderr.splitlines() if line.startswith("skipped ")]
    assert len(lines) == 21
    assert lines[-1] == "skipped 11 more; --json names them all"


def test_build_keeps_as_many_snapshots_as_it_is_told(index_dir, gallery, tiny_bundle):
    (gallery / "blue" / "blue_001.jpg").unlink()

    run("build", gallery, "--embedder", tiny_bundle, "--index", index_dir, "--keep", 1)

    assert [state["version"] for state in run_json("list", index_dir)] == [3]


def test_build_searches_as_it_is_told_and_status_says_how(index_dir, gallery, tiny_bundle):
    arguments = ("build", gallery, "--embedder", tiny_bundle, "--index", index_dir)

    run(*arguments, "--search", "ivf", "--recall", 0.9, "--memory-mb", 7)

    status = run_json("status", index_dir)
    assert status["index_kind"] == status["search_plan"]["kind"] == "ivf"
    assert status["search_settings"] == {"kind": "ivf", "recall": 0.9, "memory_mb": 7}
    assert status["search_plan"]["efforts"] == {"10": 1, "50": 1, "200": 1}
    line = next(line for line in run("status", index_dir).stdout.splitlines() if line.startswith("search "))
    assert line == (
        "search       ivf, cosine; 1 lists: 1 for 10 neighbors, 1 for 50 neighbors, 1 for 200 neighbors; recall 0.9; "
        "about 0.0 MiB in memory"
    )


def test_build_refuses_a_search_that_means_nothing(index_dir, gallery, tiny_bundle):
    for wrong in (("--search", "hnsw"), ("--recall", "2"), ("--memory-mb", "0")):
        result = run("build", gallery, "--embedder", tiny_bundle, "--index", index_dir, *wrong)

        assert result.exit_code == 2
        assert "Invalid value" in result.stderr


def test_status_tells_what_is_served(index_dir):
    status = run_json("status", index_dir)

    assert (status["snapshot"], status["entries"], status["dimension"]) == (2, 17, 32)
    assert status["families"] == {"amber": 6, "blue": 5, "clover": 6}
    assert status["snapshots"] == [1, 2]
    assert status["embeddings"] == {status["fingerprint"]: 18}
    assert [skip["path"] for skip in status["skipped"]] == ["blue/bad.jpg"]
    text = run("status", index_dir).stdout
    assert "entries      17 (amber 6, blue 5, clover 6)" in text
    assert status["fingerprint"] in text
    assert "search       flat (exact), cosine; about 0.0 MiB in memory" in text


def test_status_tells_how_the_map_was_drawn(index_dir, make_older):
    told, told_json = run("status", index_dir).stdout, run_json("status", index_dir)
    make_older(index_dir, 2, 2)
    older, older_json = run("status", index_dir).stdout, run_json("status", index_dir)

    assert "\nmap          17 entries by principal components\n" in told
    assert told_json["map"]["method"] == "pca"
    assert "\nmap          none: the snapshot was made before there were maps, the next build draws one\n" in older
    assert older_json["map"] is None


def test_verify_finds_an_index_without_a_map_whole(index_dir, make_older):
    make_older(index_dir, 2, 2)

    assert run_json("verify", index_dir)["ok"]


def test_list_marks_the_current_snapshot_and_names_damaged_ones(index_dir):
    damage(index_dir / "snapshots" / "000001" / "manifest.json")

    states = run_json("list", index_dir)

    assert [(state["version"], state["current"], state["entries"]) for state in states] == [
        (1, False, None),
        (2, True, 17),
    ]
    assert "manifest.json is damaged" in states[0]["problem"]
    lines = run("list", index_dir).stdout.splitlines()
    assert lines[1].startswith("        1  ")
    assert lines[2].startswith("*       2  ")


def test_verify_of_a_whole_index_finds_nothing(index_dir):
    result = run("verify", index_dir)

    assert result.exit_code == 0
    parts = [line.rsplit(maxsplit=1) for line in result.stdout.splitlines()]
    names = [part[0].split()[0] for part in parts]
    assert names == ["CURRENT", "snapshot", "snapshot", "embedder", "catalog", "changes"]
    assert {part[1] for part in parts} == {"ok"}
    assert run_json("verify", index_dir)["ok"] is True


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("snapshots/000001/vectors.faiss", "snapshot 1"),
        ("snapshots/000001/map.npy", "snapshot 1"),
        ("snapshots/000002/entries.sqlite", "snapshot 2"),
        ("snapshots/000001/manifest.json", "snapshot 1"),
        ("embedders/*/model.bin", "embedder"),
        ("CURRENT", "CURRENT"),
    ],
)
def test_verify_finds_a_flipped_bit_in_any_file_and_fails(index_dir, file, part):
    damage(next(index_dir.glob(file)))

    result = run("verify", index_dir, "--json")

    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["ok"] is False
    assert next(found["part"] for found in report["parts"] if found["problem"]).startswith(part)


def test_verify_finds_a_damaged_catalog(index_dir):
    catalog = index_dir / "catalog.sqlite"
    data = bytearray(catalog.read_bytes())
    data[4096:8192] = bytes(4096)
    catalog.write_bytes(data)

    report = run_json("verify", index_dir)

    assert [found["part"] for found in report["parts"] if found["problem"]] == ["catalog"]


def test_activate_and_rollback_change_what_is_served(index_dir):
    assert run_json("rollback", index_dir) == {"snapshot": 1}
    assert current_version(index_dir) == 1
    assert run_json("activate", index_dir, 2) == {"snapshot": 2}
    assert current_version(index_dir) == 2
    assert run("rollback", index_dir).stdout == "snapshot 1 is current\n"


@pytest.mark.parametrize("arguments", [("activate", "DIR", "0"), ("activate", "DIR", "seven"), ("build", "photos"), ()])
def test_wrong_usage_exits_with_2(arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_ends_with_an_example(command):
    lines = run(command, "--help").stdout.strip().splitlines()

    assert f"Example: beedex index {command}" in lines[-1]


def test_help_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from beedex.index.index_commands import app\n"
        "try:\n"
        "    app(['index', 'build', '--help'])\n"
        "finally:\n"
        "    print(sorted({'faiss', 'openvino', 'numpy', 'PIL', 'sqlite3'} & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)

    assert done.stderr == "[]\n"


def test_the_installed_command_says_an_error_in_one_line(tmp_path):
    beedex = shutil.which("beedex", path=str(Path(sys.executable).parent))
    assert beedex is not None

    done = subprocess.run(
        [beedex, "index", "status", tmp_path], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "holds no snapshot yet, expected an index; build one with `beedex index build" in done.stderr
