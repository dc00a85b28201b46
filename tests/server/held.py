"""A server whose embedder waits for the test."""

from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from beedex.index.embedded import EmbeddedPhoto
from beedex.server.engine import open_engine
from beedex.server.lane.lane import EmbeddingLane


class HeldEmbedder:
    """Embeds when the test says so."""

    parallelism = 1

    def __init__(self):
        self.futures = []

    def submit(self, image):
        assert image.shape == (299, 299, 3)
        self.futures.append(Future())
        return self.futures[-1]

    def finish(self):
        unit = np.eye(48, dtype=np.float32)[0]
        self.futures[-1].set_result(EmbeddedPhoto(vector=unit[:32], features=unit))


def hold(held, *, capacity=64):
    """A loader whose lane leads to *held* instead of to OpenVINO."""

    def load(config):
        engine = open_engine(config)
        return replace(engine, lane=EmbeddingLane(engine.decoder, held, capacity=capacity))

    return load
