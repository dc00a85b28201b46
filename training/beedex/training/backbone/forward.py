"""Running a Keras network over many prepared photos: by OpenVINO on a CPU, by TensorFlow where it has a GPU.

Which of the two is a rule and not a timing: they differ in the last digits, and the same machine must give the same
features again. On a CPU OpenVINO is also what serves. On two busy cores of an EPYC with AVX-512 it computed 1.08 times
as many photos as TensorFlow in a second of the processor's time, and 0.9 to 1.1 times as many by the clock
(tests/benchmarks/forward_engines.py prints the latter).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal

import keras
import numpy as np
import openvino as ov
import tensorflow as tf
from numpy.typing import NDArray

from beedex.index.inference import InferencePool, Outputs
from beedex.training.backbone.weights import IMAGE_SIDE_PX

__all__ = ["Engine", "choose_engine", "convert_to_openvino", "run_forward"]

Engine = Literal["openvino", "tensorflow"]

# Photos a batch for TensorFlow; 16 of them take 0.5 GB of activations.
TENSORFLOW_BATCH = 16


def choose_engine() -> Engine:
    """Return what is faster here: TensorFlow where it sees a GPU, else OpenVINO."""
    return "tensorflow" if tf.config.list_physical_devices("GPU") else "openvino"


def run_forward(model: keras.Model, images: Iterable[NDArray[np.uint8]], *, engine: Engine) -> Iterator[Outputs]:
    """Yield the outputs of photos, in order, with few of them in memory.

    Args:
        model: (B, 299, 299, 3) uint8 -> one output or a dict of them.
        images: (299, 299, 3) uint8 each.
        engine: as from `choose_engine`, or the one that is wanted.

    Yields:
        float32 by output name, without the batch axis; the name of a single output is that of its layer.
    """
    if engine == "openvino":
        with InferencePool(convert_to_openvino(model)) as pool:
            yield from pool.run(images)
    else:
        yield from _run_tensorflow(model, images)


def _run_tensorflow(model: keras.Model, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
    serve = tf.function(_name_outputs(model), reduce_retracing=True)
    source = iter(images)
    while batch := list(islice(source, TENSORFLOW_BATCH)):
        outputs = {name: values.numpy() for name, values in serve(tf.constant(np.stack(batch))).items()}
        for row in range(len(batch)):
            yield {name: values[row] for name, values in outputs.items()}


def convert_to_openvino(model: keras.Model) -> ov.Model:
    """Convert a network for (1, 299, 299, 3) uint8 photos; its outputs keep their names.

    One photo a request: see `beedex.index.inference`.
    """
    signature = tf.TensorSpec((1, IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), tf.uint8, name="image")
    serve = tf.function(_name_outputs(model), input_signature=[signature])
    network = ov.convert_model(serve)
    _rename_operations(network, set(serve.get_concrete_function().structured_outputs))
    return network


def _name_outputs(model: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(image, training=False)
        return outputs if isinstance(outputs, dict) else {model.output_names[0]: outputs}

    return serve


def _rename_operations(network: ov.Model, kept: set[str]) -> None:
    """Number the operations in their order, and leave tensors only the names of the outputs.

    TensorFlow's names count on from conversion to conversion, and they are in the network file: the same network would
    have another fingerprint when the process had converted another one before.
    """
    for number, operation in enumerate(network.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
        if operation.get_type_name() not in ("Parameter", "Result"):
            for output in operation.outputs():
                output.get_tensor().set_names(kept & output.get_tensor().get_names())
