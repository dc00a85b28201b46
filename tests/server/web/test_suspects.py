"""Suspects: the labels that are wrong are found, and nothing else is called so."""

import shutil

import httpx
import numpy as np
import pytest
from tests.server.scenarios import run

from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.server.errors import DrainingError
from beedex.server.web.suspects import SuspectFinder

NEAREST = 3


@pytest.fixture(scope="module")
def mislabelled(tiny_gallery, tiny_bundle, tmp_path_factory):
    """An index in which two photos are of another family than they say."""
    home = tmp_path_factory.mktemp("suspects")
    gallery = shutil.copytree(tiny_gallery, home / "gallery")
    (gallery / "amber" / "amber_001.jpg").rename(gallery / "blue" / "wrong_1.jpg")
    (gallery / "blue" / "blue_002.jpg").rename(gallery / "clover" / "wrong_2.jpg")
    build_index(gallery, tiny_bundle, home / "index")
    return home / "index"


def judge_by_brute_force(searcher):
    """Path to what another family has more of evidence, for those of which one has."""
    entries = searcher.view.read(searcher.view.list_ids())
    vectors = np.stack([searcher.vector_of(entry.entry_id) for entry in entries])
    found = {}
    for place, entry in enumerate(entries):
        evidence = {}
        for family in searcher.families():
            similarities = [
                float(vectors[place] @ vectors[other])
                for other, candidate in enumerate(entries)
                if candidate.family == family and other != place
            ]
            evidence[family] = float(np.mean(sorted(similarities)[-NEAREST:]))
        own = evidence.pop(entry.family)
        if max(evidence.values()) > own:
            found[entry.path] = max(evidence.values()) - own
    return found


def test_suspects_are_those_of_brute_force_the_most_suspicious_first(mislabelled):
    with Searcher.open(mislabelled) as searcher:
        found, expected = SuspectFinder().find(searcher), judge_by_brute_force(searcher)

    assert (found.checked, found.entries) == (18, 18)
    assert {one.entry.path: pytest.approx(one.suspicion, abs=1e-4) for one in found.suspects} == expected
    assert {"blue/wrong_1.jpg", "clover/wrong_2.jpg"} <= set(expected)
    suspicions = [one.suspicion for one in found.suspects]
    assert suspicions == sorted(suspicions, reverse=True)
    assert all(suspicion > 0 for suspicion in suspicions)


def test_photos_of_the_same_group_have_no_say(tiny_gallery, tiny_bundle, tmp_path):
    gallery = shutil.copytree(tiny_gallery, tmp_path / "gallery")
    lines = ["path,family,group"]
    for path in sorted(gallery.rglob("*.jpg")):
        name = path.relative_to(gallery).as_posix()
        # Three photos of one scene in a family that isn't theirs speak for each other.
        is_moved = name in {f"amber/amber_00{number}.jpg" for number in (0, 1, 2)}
        lines.append(f"{name},{'blue' if is_moved else path.parent.name},{'scene' if is_moved else ''}")
    (gallery / "gallery.csv").write_text("\n".join(lines) + "\n")
    build_index(gallery, tiny_bundle, tmp_path / "index")
    with Searcher.open(tmp_path / "index") as searcher:
        found = SuspectFinder().find(searcher)

    moved = {one.entry.path for one in found.suspects if one.entry.group == "scene"}
    assert moved == {f"amber/amber_00{number}.jpg" for number in (0, 1, 2)}


def test_who_is_stopped_ends(mislabelled):
    finder = SuspectFinder()
    finder.stop()
    with Searcher.open(mislabelled) as searcher, pytest.raises(DrainingError):
        finder.find(searcher)


def test_suspects_are_told_over_http_with_what_speaks_against_them(web_serving, mislabelled):
    async def scenario():
        async with web_serving(index_dir=mislabelled) as served, httpx.AsyncClient(base_url=served.url) as http:
            body = (await http.get("/v1/suspects", params={"limit": 1})).json()
            assert (body["checked"], body["total"] >= 2, len(body["suspects"])) == (18, True, 1)
            suspect = body["suspects"][0]
            assert suspect["suspicion"] == pytest.approx(suspect["other_similarity"] - suspect["own_similarity"])
            assert suspect["suspected_family"] != suspect["entry"]["family"]
            assert len(suspect["neighbors"]) == NEAREST
            assert "nearest three" in body["rule"]

    run(scenario)
