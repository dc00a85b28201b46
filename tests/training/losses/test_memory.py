"""No tensor of the loss or its gradient has an entry for each triplet; the benchmark has the bytes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import measure_triplets, pairwise_distances, triplet_loss

SIZE = 40
MININGS = ("batch-all", "semi-hard", "batch-hard")


def find_largest(take) -> int:
    """Entries of the largest tensor in the graph of *take*'s gradient, loops and all."""

    def differentiate(labels, rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = take(labels, rows)
        return value, tape.gradient(value, rows)

    signature = [tf.TensorSpec([SIZE], tf.int64), tf.TensorSpec([SIZE, 3], tf.float32)]
    graph = tf.function(differentiate).get_concrete_function(*signature).graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    assert not any(shape.unknown_rank for shape in shapes)
    # Unknown is only how many rows are not finite.
    return max(int(np.prod([side.size if side.size >= 0 else SIZE for side in shape.dim])) for shape in shapes)


@pytest.mark.parametrize(("mining", "soft"), list(itertools.product(MININGS, (False, True))))
def test_no_tensor_is_larger_than_batch_by_batch(mining, soft) -> None:
    assert find_largest(lambda labels, rows: triplet_loss(labels, rows, mining=mining, soft=soft)) == SIZE**2


def test_no_statistic_needs_more() -> None:
    assert find_largest(lambda *batch: measure_triplets(*batch, margin=0.1, distance="l2").active_share) == SIZE**2


def test_the_cubic_form_would_be_found_out() -> None:
    def take(_, rows):
        distances = pairwise_distances(rows, "l2")
        return tf.reduce_sum(tf.nn.relu(distances[:, :, tf.newaxis] - distances[:, tf.newaxis, :]))

    assert find_largest(take) == SIZE**3
