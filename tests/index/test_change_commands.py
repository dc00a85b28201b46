"""The commands that change single entries and that prune, run as the command line runs them, on a real index."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from beedex.index.errors import IndexDirectoryError
from beedex.index.index_commands import app
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher

NOBODY = "0" * 16


def run(*arguments):
    return CliRunner().invoke(app, ["index", *map(str, arguments)], catch_exceptions=False)


def run_json(*arguments):
    """What the command says with --json: the whole of its standard output is one document."""
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def index_dir(tiny_index_copy):
    return tiny_index_copy


@pytest.fixture
def photos(tmp_path):
    """Two new photos."""
    paths = [tmp_path / "new 1.png", tmp_path / "new 2.png"]
    for seed, path in enumerate(paths):
        noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


def read_entries(index_dir):
    with Searcher.open(index_dir) as searcher:
        query = np.eye(searcher.dimension, dtype=np.float32)[0]
        return {neighbor.entry.entry_id: neighbor.entry for neighbor in searcher.neighbors(query, 100)}


def test_upsert_puts_photos_in_and_says_under_which_ids(index_dir, photos):
    result = run("upsert", index_dir, *photos, "--family", "dawn", "--group", "nest 1", "--credit", "Ä. B.")

    entries = [entry for entry in read_entries(index_dir).values() if entry.family == "dawn"]
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == sorted(
        f"put in: {entry.entry_id} dawn {entry.path}" for entry in entries
    )
    assert {entry.path for entry in entries} == {"new 1.png", "new 2.png"}
    assert {(entry.group, entry.credit) for entry in entries} == {("nest 1", "Ä. B.")}


def test_upsert_as_json(index_dir, photos):
    document = run_json("upsert", index_dir, photos[0], "--family", "dawn")

    (entry,) = [entry for entry in read_entries(index_dir).values() if entry.family == "dawn"]
    assert document == {
        "entries": [{"entry_id": entry.entry_id, "family": "dawn", "path": "new 1.png"}],
        "failed": [],
    }


def test_upsert_of_a_photo_that_is_there_relabels_it(index_dir, tiny_gallery):
    run("upsert", index_dir, tiny_gallery / "amber" / "amber_000.jpg", "--family", "blue")

    assert run_json("status", index_dir)["changes"] == {"pending": 1, "kept": 0}
    families = [entry.family for entry in read_entries(index_dir).values()]
    assert {family: families.count(family) for family in families} == {"amber": 5, "blue": 7, "clover": 6}


def test_upsert_puts_in_what_can_be_read_and_fails_naming_the_rest(index_dir, photos, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    arguments = ("upsert", index_dir, tmp_path / "bad.jpg", photos[0], tmp_path / "none.jpg", "--family", "dawn")

    result, document = run(*arguments), run(*arguments, "--json")

    assert (result.exit_code, document.exit_code) == (1, 1)
    assert len(result.stdout.splitlines()) == 1
    failed = result.stderr.splitlines()
    assert len(failed) == 2
    assert failed[0].startswith(f"failed: {tmp_path / 'bad.jpg'}: NOT_A_PHOTO: ")
    assert failed[1].startswith(f"failed: {tmp_path / 'none.jpg'}: UNREADABLE: ")
    parsed = json.loads(document.stdout)
    assert [entry["path"] for entry in parsed["entries"]] == ["new 1.png"]
    assert [failure["reason"] for failure in parsed["failed"]] == ["NOT_A_PHOTO", "UNREADABLE"]
    assert parsed["failed"][0].keys() == {"photo", "reason", "message"}


def test_relabel_gives_an_entry_another_family(index_dir):
    entry = next(iter(read_entries(index_dir).values()))

    result = run("relabel", index_dir, entry.entry_id, "--family", "dawn")
    document = run_json("relabel", index_dir, entry.entry_id, "--family", "ember")

    assert (result.exit_code, result.stdout) == (0, f"relabeled: {entry.entry_id} dawn {entry.path}\n")
    assert document == {"entries": [{"entry_id": entry.entry_id, "family": "ember", "path": entry.path}]}
    assert read_entries(index_dir)[entry.entry_id].family == "ember"


def test_delete_takes_entries_out_each_once(index_dir):
    first, second, third = list(read_entries(index_dir).values())[:3]

    result = run("delete", index_dir, first.entry_id, second.entry_id, first.entry_id)
    document = run_json("delete", index_dir, third.entry_id)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"taken out: {entry.entry_id} {entry.family} {entry.path}" for entry in (first, second)
    ]
    assert [entry["entry_id"] for entry in document["entries"]] == [third.entry_id]
    assert not {first.entry_id, second.entry_id, third.entry_id} & read_entries(index_dir).keys()


def test_delete_of_an_unknown_entry_takes_out_nothing(index_dir):
    before = read_entries(index_dir)

    with pytest.raises(IndexDirectoryError, match=f"no entry has id {NOBODY}.*nothing was taken out"):
        run("delete", index_dir, *before, NOBODY)

    assert read_entries(index_dir) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("upsert", "DIR", "--family", "dawn"),
        ("upsert", "DIR", "PHOTO"),
        ("upsert", "DIR", "PHOTO", "--family", ""),
        ("upsert", "DIR", "PHOTO", "--family", "  "),
        ("relabel", "DIR", NOBODY),
        ("relabel", "DIR", NOBODY, "--family", " "),
        ("delete", "DIR"),
        ("prune", "DIR"),
        ("prune", "DIR", "--keep", "0"),
        ("prune", "DIR", "--keep", "all"),
    ],
)
def test_wrong_usage_exits_with_2_and_changes_nothing(index_dir, photos, arguments):
    words = {"DIR": index_dir, "PHOTO": photos[0]}

    assert run(*(words.get(argument, argument) for argument in arguments)).exit_code == 2
    assert not (index_dir / "changes.sqlite").exists()


def test_status_counts_changes_before_and_after_a_build(index_dir, photos, tiny_gallery, tiny_bundle):
    run("upsert", index_dir, *photos, "--family", "dawn")
    pending = run_json("status", index_dir)["changes"], run("status", index_dir).stdout

    build = run("build", tiny_gallery, "--embedder", tiny_bundle, "--index", index_dir)

    kept = run_json("status", index_dir)["changes"], run("status", index_dir).stdout
    assert (pending[0], kept[0]) == ({"pending": 2, "kept": 0}, {"pending": 0, "kept": 2})
    assert "changes      2 since the last build, 0 before that the gallery doesn't say\n" in pending[1]
    assert "changes      0 since the last build, 2 before that the gallery doesn't say\n" in kept[1]
    assert "2 changed by hand" in build.stdout
    assert run_json("status", index_dir)["entries"] == 20


@pytest.mark.parametrize("damaged", ["log", "photo"])
def test_verify_finds_damage_to_changes_and_to_the_photos_that_were_put_in(index_dir, photos, damaged):
    run("upsert", index_dir, photos[0], "--family", "dawn")
    whole = run_json("verify", index_dir)
    path = index_dir / "changes.sqlite" if damaged == "log" else next((index_dir / "photos").glob("*/*"))
    data = bytearray(path.read_bytes())
    data[data.find(b"dawn") if damaged == "log" else 100] ^= 1
    path.write_bytes(data)

    result = run("verify", index_dir, "--json")

    assert (whole["ok"], whole["parts"][-1]) == (True, {"part": "changes", "problem": None})
    assert result.exit_code == 1
    (finding,) = [part for part in json.loads(result.stdout)["parts"] if part["problem"]]
    assert finding["part"] == "changes"
    assert f"{path} is damaged" in finding["problem"]


def test_prune_says_what_it_deleted(index_dir, tiny_gallery_copy, tiny_bundle, other_tiny_bundle):
    for bundle in (other_tiny_bundle, tiny_bundle):
        (next(tiny_gallery_copy.rglob("*.jpg"))).unlink()
        build_index(tiny_gallery_copy, bundle, index_dir)

    first = run("prune", index_dir, "--keep", 2)
    second = run_json("prune", index_dir, "--keep", 1)
    third = run_json("prune", index_dir, "--keep", 1)

    assert first.stdout == "deleted 1 snapshots, 0 embedders, 2 embeddings\n"
    assert (second["snapshots"], len(second["embedders"]), second["embeddings"]) == ([2], 1, 17)
    assert third == {"snapshots": [], "embedders": [], "embeddings": 0}
    assert [state["version"] for state in run_json("list", index_dir)] == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("relabel", "DIR", NOBODY, "--family", "dawn"), f"no entry has id {NOBODY}, expected one of the 18 entries"),
        (("relabel", "DIR", "bee", "--family", "dawn"), "an entry id is 16 lower-case hex digits, received 'bee'"),
        (("delete", "DIR", "bee"), "an entry id is 16 lower-case hex digits, received 'bee'; nothing was taken out"),
        (("upsert", "NOWHERE", "PHOTO", "--family", "dawn"), "is no directory, expected an index"),
        (("delete", "NOWHERE", NOBODY), "is no directory, expected an index"),
        (("prune", "NOWHERE", "--keep", "1"), "is no directory, expected an index"),
        (("upsert", "DIR", "PHOTO", "--family", b"\xff"), "surrogates not allowed"),
    ],
)
def test_the_installed_command_says_every_error_in_one_line(index_dir, photos, tmp_path, arguments, message):
    words = {"DIR": index_dir, "NOWHERE": tmp_path / "nowhere", "PHOTO": photos[0]}
    beedex = shutil.which("beedex", path=str(Path(sys.executable).parent))
    assert beedex is not None

    done = subprocess.run(
        [beedex, "index", *(words.get(argument, argument) for argument in arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
