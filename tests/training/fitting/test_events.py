"""TensorBoard's own readers on what a training writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from beedex.training.fitting.events import EventLog, ProjectedPhoto, write_projector
from beedex.training.fitting.fit import FitConfig, Outlets, Validation, fit_head
from beedex.training.fitting.guard import GuardConfig
from beedex.training.fitting.model import HeadShape


def read_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Each curve's points, as TensorBoard reads them."""
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def make_features():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    features = generator.standard_normal((120, 1, 32)) + 3 * np.eye(32)[labels][:, np.newaxis]
    return features.astype(np.float32), labels, [str(i) for i in range(120)]


def test_tensorboard_reads_a_trainings_curves_and_the_guards_actions(tmp_path):
    features, labels, groups = make_features()
    config = FitConfig(
        mining="batch-hard",
        margin=0.1,
        learning_rate=0.3,
        families_per_batch=6,
        epochs=1,
        fewest_steps=80,
        evaluate_every=20,
        guard=GuardConfig(in_a_row=2),
    )

    with EventLog(tmp_path) as events:
        trained = fit_head(
            features,
            labels,
            groups,
            HeadShape(dimension=8, hidden_units=16),
            config,
            validation=Validation(photos=np.arange(0, 120, 10)),
            outlets=Outlets(events=events),
        )

    curves, history = read_scalars(tmp_path), trained.history
    names = ("loss", "active_share", "positive_distance", "negative_distance", "learning_rate")
    for name in names:
        steps, values = zip(*curves[f"training/{name}"], strict=True)
        assert list(steps) == [0, 10, 20, 30, 40, 50, 60, 70, 80]
        means = [getattr(history, name)[step - 9 : step + 1].mean() for step in steps[1:-1]]
        np.testing.assert_allclose(values[1:-1], means, rtol=1e-5)
    points = curves["validation/map_at_r"]
    assert [step for step, _ in points] == history.validation_steps.tolist() == [0, 20, 40, 60, 80]
    np.testing.assert_allclose([value for _, value in points], history.validation_map_at_r, rtol=1e-6)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    texts = [event.tensor_proto.string_val[0].decode() for event in accumulator.Tensors("guard")]
    assert texts == [f"{action.action}: {action.evidence}" for action in history.actions]
    assert len(texts) > 0
    assert accumulator.SummaryMetadata("guard").plugin_data.plugin_name == "text"


def test_a_training_that_goes_on_replaces_what_was_written_past_its_checkpoint(tmp_path):
    for begun, steps, value in [(0, (10, 20, 30), 1.0), (20, (30, 40), 2.0)]:
        with EventLog(tmp_path) as log:
            log.begin(step=begun)
            for step in steps:
                log.add_scalars(step, {"loss": value})
        for written in tmp_path.glob("events.*"):
            # Files of one second and one process would have one name.
            if not written.name.endswith(".kept"):
                written.rename(written.with_name(f"{written.name}.{begun}.kept"))

    assert read_scalars(tmp_path)["loss"] == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]


def test_a_training_that_starts_over_replaces_everything(tmp_path):
    for number, value in enumerate((1.0, 2.0)):
        with EventLog(tmp_path) as log:
            log.begin(step=0)
            log.add_scalars(10, {"loss": value, "gap": float("nan")})
        for written in tmp_path.glob("events.*"):
            if not written.name.endswith(".kept"):
                written.rename(written.with_name(f"{written.name}.{number}.kept"))

    assert read_scalars(tmp_path) == {"loss": [(10, 2.0)]}


@pytest.fixture
def projected(tmp_path):
    """A run with seven photos in the projector, one with a tab in its name; and the projector's server."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((7, 5)).astype(np.float32)
    photos = [ProjectedPhoto(path=f"bee\t{i}.jpg", family=f"family {i % 2}", group=str(i)) for i in range(7)]
    thumbnails = (np.full((200, 299, 3), (30 * i, 0, 0), np.uint8) for i in range(7))
    run = tmp_path / "final"
    with EventLog(run) as log:
        log.add_scalars(1, {"loss": 0.1})
    write_projector(run, vectors, photos, thumbnails, name="bees")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
    plugin = ProjectorPlugin(TBContext(logdir=str(tmp_path), data_provider=provider))
    return run, vectors, plugin.get_plugin_apps()


def ask(apps, route, **query):
    reply = Client(apps[route]).get(f"/data{route}", query_string={"run": "final", "name": "bees", **query})
    assert reply.status_code == 200, reply.text
    return reply


def test_tensorboards_projector_serves_vectors_names_and_thumbnails(projected):
    run, vectors, apps = projected

    assert Client(apps["/runs"]).get("/data/runs").json == ["final"]
    (embedding,) = json.loads(ask(apps, "/info").text)["embeddings"]
    assert (embedding["tensorName"], embedding["tensorShape"]) == ("bees", [7, 5])
    assert embedding["sprite"]["singleImageDim"] == [64, 64]
    served = np.frombuffer(ask(apps, "/tensor").data, np.float32).reshape(7, 5)
    np.testing.assert_allclose(served, vectors, rtol=1e-5)
    lines = ask(apps, "/metadata").text.splitlines()
    assert lines[:2] == ["path\tfamily\tgroup", "bee 0.jpg\tfamily 0\t0"]
    assert len(lines) == 8
    (run / "asked.png").write_bytes(ask(apps, "/sprite_image").data)
    with Image.open(run / "asked.png") as sheet:
        assert sheet.size == (3 * 64, 3 * 64)
        for number in range(7):
            centre = (number % 3 * 64 + 32, number // 3 * 64 + 32)
            assert sheet.getpixel(centre) == (30 * number, 0, 0)


def test_thumbnails_of_many_photos_shrink_until_the_sheet_fits(tmp_path):
    count = 17_000
    photos = [ProjectedPhoto(path="a", family="b", group="c")] * count
    thumbnails = (np.zeros((8, 8, 3), np.uint8) for _ in range(count))

    write_projector(tmp_path, np.zeros((count, 2), np.float32), photos, thumbnails)

    with Image.open(tmp_path / "sprite.png") as sheet:
        assert max(sheet.size) <= 8192
        assert sheet.size[0] == 131 * 62  # 131 columns, as many rows at least


@pytest.mark.parametrize(("vectors", "thumbnails"), [(3, 2), (2, 1), (2, 3)])
def test_numbers_that_disagree_are_refused(tmp_path, vectors, thumbnails):
    photos = [ProjectedPhoto(path="a", family="b", group="c")] * 2
    pixels = [np.zeros((8, 8, 3), np.uint8)] * thumbnails

    with pytest.raises(ValueError, match="received"):
        write_projector(tmp_path, np.zeros((vectors, 2), np.float32), photos, pixels)
    assert list(tmp_path.iterdir()) == []
