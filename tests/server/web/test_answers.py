"""Every route against a real server: what it answers, compared with what the index says by itself."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.preprocessing import prepare

FAMILIES = {"amber": 6, "blue": 6, "clover": 6}
NEIGHBOR_KEYS = {
    *("entry_id", "family", "similarity", "path", "group", "species", "source", "license", "credit"),
}


def entry_id_of(id64):
    return f"{id64 % 2**64:016x}"


@pytest.fixture(scope="module")
def ids(tiny_searcher):
    return [entry_id_of(id64) for id64 in tiny_searcher.view.list_ids().tolist()]


def ways_to_send(photo):
    return [
        {"content": photo, "headers": {"Content-Type": "image/jpeg"}},
        {"content": photo, "headers": {"Content-Type": "application/octet-stream"}},
        {"content": iter([photo[:100], photo[100:]]), "headers": {"Content-Type": "image/jpeg"}},
        {"files": {"photo": ("bee.jpg", photo, "image/jpeg")}},
    ]


@pytest.mark.parametrize("way", range(4))
def test_a_photo_is_identified_however_it_is_sent(http, photo, way):
    reply = http.post("/v1/identify?k=3", **ways_to_send(photo)[way])
    answer = reply.json()

    assert reply.status_code == 200
    assert (answer["verdict"], answer["family"], answer["candidates"]) == ("MATCH", "amber", ["amber"])
    assert answer["probability"] == answer["families"][0]["probability"]
    assert {score["family"] for score in answer["families"]} == set(FAMILIES)
    assert [set(neighbor) for neighbor in answer["neighbors"]] == [NEIGHBOR_KEYS] * 3
    assert answer["neighbors"][0]["path"] == "amber/amber_000.jpg"
    assert answer["request_id"] == reply.headers["x-request-id"]


def test_an_entry_is_identified_without_its_own_vote(http, tiny_searcher, ids):
    answer = http.post("/v1/identify", json={"entry_id": ids[0]}).json()
    expected = tiny_searcher.identify(tiny_searcher.vector_of(ids[0]), 10, exclude=ids[0])

    assert answer["probability"] == pytest.approx(expected.decision.probability)
    assert answer["reason"] == expected.decision.reason
    assert [n["entry_id"] for n in answer["neighbors"]] == [n.entry.entry_id for n in expected.neighbors]


def test_a_vector_of_any_length_finds_what_its_entry_finds(http, tiny_searcher, ids):
    vector = (1000 * tiny_searcher.vector_of(ids[3]).astype(float)).tolist()
    answer = http.post("/v1/neighbors?k=1", json={"vector": vector}).json()

    assert answer["neighbors"][0]["entry_id"] == ids[3]
    assert answer["neighbors"][0]["similarity"] == pytest.approx(1, abs=1e-4)


def test_neighbors_are_those_of_brute_force(http, tiny_searcher, ids):
    everything = np.stack([tiny_searcher.vector_of(one) for one in ids])
    answer = http.post("/v1/neighbors?k=18", json={"vector": everything[5].tolist()}).json()

    found = [neighbor["similarity"] for neighbor in answer["neighbors"]]
    np.testing.assert_allclose(found, np.sort(everything @ everything[5])[::-1], atol=1e-5)


def test_neighbors_of_some_families_are_of_these(http, ids):
    answer = http.post("/v1/neighbors?k=18&families=blue&families=clover", json={"entry_id": ids[0]}).json()

    assert {neighbor["family"] for neighbor in answer["neighbors"]} == {"blue", "clover"}


def test_embed_gives_the_vector_that_the_embedder_gives(http, photo, tiny_bundle):
    answer = http.post("/v1/embed", content=photo, headers={"Content-Type": "image/jpeg"}).json()
    with Embedder.open(load_bundle(tiny_bundle), threads=1) as embedder:
        expected = embedder.embed(prepare(photo)[np.newaxis])[0]

    assert answer["dimension"] == len(expected)
    assert np.array(answer["vector"]) @ expected >= 0.9999


def test_embed_of_an_entry_gives_its_stored_vector(http, tiny_searcher, ids):
    answer = http.post("/v1/embed", json={"entry_id": ids[2]}).json()

    assert answer["vector"] == tiny_searcher.vector_of(ids[2]).tolist()


def test_view_shows_the_photo_as_the_embedder_sees_it(http, photo):
    reply = http.post("/v1/view", content=photo, headers={"Content-Type": "image/jpeg"})

    assert reply.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(reply.content))), prepare(photo))


def test_view_shows_the_photo_of_an_entry(http, photo, tiny_searcher):
    entry = next(e for e in tiny_searcher.view.read(tiny_searcher.view.list_ids()) if e.path == "amber/amber_000.jpg")
    reply = http.post("/v1/view", json={"entry_id": entry.entry_id})

    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(reply.content))), prepare(photo))


def test_families_come_with_counts_and_examples_of_theirs(http, tiny_searcher):
    families = http.get("/v1/families").json()["families"]

    assert {family["name"]: family["entries"] for family in families} == FAMILIES
    for family in families:
        assert len(family["examples"]) == 4
        assert {tiny_searcher.view.entry(one).family for one in family["examples"]} == {family["name"]}


@pytest.mark.parametrize(("family", "count"), [(None, 18), ("blue", 6), ("violet", 0)])
def test_pages_of_entries_are_all_of_them_once(http, family, count):
    seen, cursor = [], None
    while True:
        asked = {"limit": 4, "family": family, "cursor": cursor}
        page = http.get("/v1/entries", params={name: value for name, value in asked.items() if value}).json()
        seen += page["entries"]
        cursor = page["next_cursor"]
        assert page["total"] == count
        assert len(page["entries"]) <= 4
        if cursor is None:
            break

    assert len({entry["entry_id"] for entry in seen}) == len(seen) == count
    assert family is None or {entry["family"] for entry in seen} <= {family}


def test_an_entry_comes_with_its_neighbors_and_not_among_them(http, ids):
    answer = http.get(f"/v1/entries/{ids[1]}", params={"k": 18}).json()

    assert answer["entry"]["entry_id"] == ids[1]
    assert sorted([ids[1], *(neighbor["entry_id"] for neighbor in answer["neighbors"])]) == sorted(ids)


def test_the_map_has_a_place_for_each_entry_and_for_each_query(http, tiny_searcher, ids):
    body = http.get("/v1/map").json()
    columns = {name: base64.b64decode(body[name]) for name in ("ids", "x", "y", "family_index")}
    positions = tiny_searcher.view.map_positions()
    assert positions is not None

    assert [columns["ids"][8 * i : 8 * i + 8].hex() for i in range(len(ids))] == ids
    for column, name in enumerate(("x", "y")):
        np.testing.assert_array_equal(np.frombuffer(columns[name], "<f4"), positions[1][:, column])
    families = [body["families"][place] for place in np.frombuffer(columns["family_index"], "<u4")]
    assert families == tiny_searcher.view.list_families(positions[0])

    place = http.post("/v1/identify", json={"vector": tiny_searcher.vector_of(ids[0]).tolist()}).json()["map"]
    np.testing.assert_allclose([place["x"], place["y"]], positions[1][0], atol=1e-3)
    place = http.post("/v1/identify?k=1", json={"entry_id": ids[1]}).json()["map"]
    assert [place["x"], place["y"]] == positions[1][1].tolist()


def count_searches(http):
    """How many the metrics know of."""
    lines = http.get("/metrics").text.splitlines()
    counts = (line for line in lines if line.startswith('beedex_stage_duration_seconds_count{stage="search"}'))
    return float(next(counts).split()[-1])


def test_one_search_finds_neighbors_family_and_place_of_a_query(http, tiny_searcher, photo):
    vector = http.post("/v1/embed", content=photo, headers={"Content-Type": "image/jpeg"}).json()["vector"]
    before = count_searches(http)
    answer = http.post("/v1/identify?k=1", json={"vector": vector}).json()

    assert count_searches(http) == before + 1
    assert len(answer["neighbors"]) == 1
    assert tuple(answer["map"].values()) == pytest.approx(tiny_searcher.view.place(np.array(vector, np.float32)))


def test_the_map_is_sent_once_to_whoever_has_it(http):
    tag = http.get("/v1/map").headers["etag"]

    assert http.get("/v1/map", headers={"If-None-Match": tag}).status_code == 304


def test_status_tells_what_is_served_and_how_long_it_takes(http, tiny_searcher, photo):
    http.post("/v1/embed", content=photo, headers={"Content-Type": "image/jpeg"})
    status = http.get("/v1/status").json()

    assert status["embedder"]["fingerprint"] == status["fingerprint"] == tiny_searcher.fingerprint
    assert status["snapshot"]["entries"] == 18
    assert status["limits"]["max_photo_bytes"] == 32 * 1024 * 1024
    assert status["load"]["lane_depth"] == 0
    assert status["phase"] == "serving"
    assert {"request", "decode", "inference"} <= set(status["latency"])


def test_what_the_page_asks_by_itself_is_not_among_the_times_of_requests(http, ids):
    http.post("/v1/identify", json={"entry_id": ids[0]})
    before = http.get("/v1/status").json()["latency"]
    http.get(f"/v1/photos/{ids[0]}?size=32")

    assert http.get("/v1/status").json()["latency"] == before


def test_the_report_tells_what_the_card_says(http, tiny_bundle):
    report, card = http.get("/v1/report").json(), load_bundle(tiny_bundle).card

    assert report["metrics"] == card.metrics
    assert report["families"] == list(card.families)
    assert not report["has_page"]


def test_probes_and_metrics_are_answered(http):
    http.get("/v1/families")

    assert http.get("/healthz").json() == http.get("/livez").json() == {"status": "live"}
    assert http.get("/readyz").json() == {"status": "ready", "phase": "serving"}
    assert 'beedex_requests_total{code="OK",method="GET /v1/families",reason=""}' in http.get("/metrics").text


def test_a_request_keeps_the_id_that_it_has(http):
    assert http.get("/v1/status", headers={"X-Request-Id": "mine"}).json()["request_id"] == "mine"


def test_the_page_is_there_and_sent_once_to_whoever_has_it(http):
    page = http.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert http.get("/index.html").content == page.content
    assert http.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert http.head("/").content == b""
