"""Each recipe does what it is for."""

import configparser
import csv
import json
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import uvicorn
from PIL import Image
from tests.docs.pages import ROOT, SERVED_AT, Section, list_sections

from beedex.index.versions import list_snapshots

DEPLOY = ROOT / "deploy"
RECIPES = {section.title: section for section in list_sections("docs/recipes.md")}
WAIT_S = 30


def test_a_folder_becomes_a_csv_with_a_row_for_each_photo(reader, examples_address):
    (reader / "more" / "broken.jpg").write_bytes(b"no photo")

    RECIPES["A folder into a CSV"].run(examples_address)

    rows = list(csv.DictReader((reader / "answers.csv").read_text().splitlines()))
    by_photo = {row["photo"]: row for row in rows}
    assert len(rows) == 7
    assert by_photo["more/carpenter/carpenter_000.jpg"]["family"] == "carpenter"
    assert all(row["verdict"] or row["error"] for row in rows)
    assert "The file is not a photo" in by_photo["more/broken.jpg"]["error"]


@contextmanager
def serve_over_http(app):
    """The app behind uvicorn on a free port of this machine; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + WAIT_S
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(WAIT_S)


def upload(url, content):
    """POST a file as a form has it; the status and the document of the answer."""
    head = b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=edge"}
    request = Request(url, head + content + b"\r\n--edge--\r\n", form)  # noqa: S310 - of our own server
    try:
        with urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310 - as above
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_web_service_answers_a_photo_and_refuses_what_is_none(reader, examples_address):
    recipe = RECIPES["A web service with FastAPI"]
    recipe.run(examples_address)

    with serve_over_http(recipe.namespace["app"]) as url:
        status, answer = upload(f"{url}/identify", (reader / "bee.jpg").read_bytes())
        refused, why = upload(f"{url}/identify", b"no photo")

    assert (status, answer["family"], len(answer["neighbors"])) == (200, "mason", 3)
    assert refused == 422
    assert "The file is not a photo" in why["detail"]


@pytest.mark.usefixtures("reader")
def test_a_notebooks_cells_run_and_show_answers_with_photos(examples_address):
    notebook = json.loads((ROOT / "docs" / "bees.ipynb").read_text())
    session = Section(page="docs/bees.ipynb", title="", blocks=[])
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).replace(SERVED_AT, examples_address)
            shown.append(session.run_cell(lines))
    session.namespace["client"].close()

    assert [type(value).__name__ for value in shown] == ["Status", "Identification", "Neighbors", "DataFrame"]
    pages = [value._repr_html_() for value in shown[1:]]
    assert "MATCH" in pages[0]
    assert [page.count('src="data:image/jpeg;base64,') for page in pages] == [6, 6, 0]


def read_nightly_command(file):
    """The words of the build that a unit or a crontab starts."""
    if file.suffix == ".service":
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.read(file)
        return unit["Service"]["ExecStart"].split()
    (line,) = re.findall(r"^\d+ \d+ \* \* \*\s+beedex\s+(.*)$", file.read_text(), re.MULTILINE)
    return line.split()


@pytest.mark.parametrize("name", ["beedex-rebuild.service", "beedex-rebuild.cron"])
def test_the_nightly_build_publishes_what_is_new(name, reader, run_beedex):
    words = read_nightly_command(DEPLOY / name)
    shutil.move(reader / "photos", reader / "gallery")
    shutil.copy(reader / "other-bee.jpg", reader / "gallery" / "carpenter" / "new.jpg")
    (reader / "gallery" / "gallery.csv").unlink()
    begins = words.index("/opt/beedex/bin/beedex") + 1
    here = [word.replace("/var/lib/beedex", str(reader)) for word in words[begins:]]

    first, second = run_beedex(*here), run_beedex(*here)

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert "19 entries: 1 embedded, 18 reused" in first.stdout
    assert list_snapshots(reader / "index") == (1, 2)


def test_the_units_are_what_systemd_understands(tmp_path):
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("systemd-analyze is not on this machine")
    program = tmp_path / "beedex"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("beedex-rebuild.service", "beedex-rebuild.timer"):
        text = (DEPLOY / name).read_text().replace("/opt/beedex/bin/beedex", str(program))
        (tmp_path / name).write_text(text)

    units = [str(tmp_path / name) for name in ("beedex-rebuild.service", "beedex-rebuild.timer")]
    done = subprocess.run([verifier, "verify", *units], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("reader")
def test_an_admins_client_has_the_server_build(examples_address):
    RECIPES["Rebuild every night"].run(examples_address)


def test_what_tensorflow_similarity_saved_becomes_a_gallery(reader, examples_address):
    photos = [
        path for family in ("carpenter", "mason") for path in sorted((reader / "photos" / family).glob("*.jpg"))[:2]
    ]
    pixels = [np.asarray(Image.open(photo).convert("RGB").resize((64, 64)), np.float32) for photo in photos]
    (reader / "saved-index").mkdir()
    # The arrays that its MemoryStore.save writes, under the names that it gives them.
    np.savez_compressed(
        reader / "saved-index" / "index.npz",
        embeddings=np.eye(2, 8, dtype=np.float32).repeat(2, axis=0),
        labels=[0, 0, 1, 1],
        data=pixels,
    )

    RECIPES["From tensorflow-similarity"].run(examples_address)

    moved = sorted(str(path.relative_to(reader / "moved")) for path in (reader / "moved").rglob("*.png"))
    assert moved == ["carpenter/00000.png", "carpenter/00001.png", "mason/00002.png", "mason/00003.png"]
