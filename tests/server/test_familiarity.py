"""A server whose embedder knows its training photos: a photo unlike them is UNKNOWN, however near its vector."""

import grpc
import numpy as np
import pytest

from beedex.index.bundle import load_bundle
from beedex.index.calibration import Calibration, FamiliarityThreshold
from beedex.index.embedder import Embedder
from beedex.index.figure import Figure
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.training.judging.familiarity import fit_familiarity
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

LENIENT = Calibration(
    temperature=0.05,
    match_from=0.0,
    unknown_below=-1.0,  # no vector is too far
    familiarity=FamiliarityThreshold(unfamiliar_below=0.2, false_reject_rate=Figure(value=0.1, low=0.0, high=0.2)),
)
ALONE = "(whether its family is known was judged by the vector alone)"


@pytest.fixture(scope="module")
def familiar_index(tiny_gallery, write_bundle, tmp_path_factory):
    """An index whose embedder's measure was fitted on the features of the gallery itself."""
    home = tmp_path_factory.mktemp("familiar")
    plain = write_bundle(home / "plain", seed=1, calibration=None)
    photos = sorted(tiny_gallery.rglob("*.jpg"))
    with Embedder.load(plain) as embedder:
        features = np.stack([embedder.submit_whole(embedder.prepare_photo(path)).result().features for path in photos])
    labels = np.unique([path.parent.name for path in photos], return_inverse=True)[1]
    measure = fit_familiarity(features, labels, seed=0, most_directions=4)
    bundle = write_bundle(home / "bundle", seed=1, calibration=LENIENT, familiarity=measure)
    build_index(tiny_gallery, bundle, home / "index")
    return home / "index"


@pytest.fixture(scope="module")
def search(familiar_index, server_process, tmp_path_factory):
    ready = tmp_path_factory.mktemp("familiar-server") / "ready"
    with (
        server_process(familiar_index, ready, "--threads", "1") as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        yield search_pb2_grpc.SearchServiceStub(channel)


@pytest.fixture
def stripes(encode_png):
    """A photo of another kind: black and white stripes as wide as a cell of the tiny network."""
    columns = (np.arange(296) // 74 % 2 * 255).astype(np.uint8)
    return encode_png(np.broadcast_to(columns[np.newaxis, :, np.newaxis], (296, 296, 3)))


def identify(search, **source):
    return search.Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(**source)))


def test_the_photos_of_the_gallery_are_familiar(search, tiny_gallery):
    for path in sorted(tiny_gallery.rglob("*.jpg")):
        reply = identify(search, photo=path.read_bytes())

        assert (reply.verdict, reply.family) == (search_pb2.VERDICT_MATCH, path.parent.name)
        assert "vector alone" not in reply.reason


def test_a_photo_of_another_kind_is_unknown_and_its_vector_alone_is_not(search, stripes, familiar_index):
    reply = identify(search, photo=stripes)
    with Searcher.open(familiar_index) as searcher:
        vector = searcher.embed(stripes)
    of_vector = identify(search, vector=types_pb2.Vector(values=vector.astype("<f4").tobytes(), dimension=len(vector)))

    assert (reply.verdict, reply.family) == (search_pb2.VERDICT_UNKNOWN, "")
    assert "unlike those that the embedder was trained on" in reply.reason
    assert of_vector.verdict == search_pb2.VERDICT_MATCH
    assert of_vector.reason.endswith(ALONE)
    assert [score.probability for score in of_vector.families] == [score.probability for score in reply.families]


def test_the_searcher_says_what_the_server_says(search, stripes, familiar_index):
    with Searcher.open(familiar_index) as searcher:
        decision = searcher.identify(stripes).decision

    assert decision.reason == identify(search, photo=stripes).reason


def test_an_index_without_a_trained_family_judges_by_the_vector(familiar_index, tiny_gallery_copy, stripes, tmp_path):
    """Photos of the family that is missing would be familiar, and yet of none of the index's families."""
    with Searcher.open(familiar_index) as searcher:
        bundle = searcher.bundle.path
    for path in (tiny_gallery_copy / "blue").iterdir():
        path.unlink()
    build_index(tiny_gallery_copy, bundle, tmp_path / "index")

    with Searcher.open(tmp_path / "index") as searcher:
        decision = searcher.identify(stripes).decision

    assert decision.reason.endswith(ALONE)


def test_the_measure_is_a_checked_file_of_the_bundle(familiar_index):
    with Searcher.open(familiar_index) as searcher:
        bundle = searcher.bundle

    assert "familiarity.npz" in load_bundle(bundle.path).card.files
    assert bundle.read_familiarity() is bundle.read_familiarity()
