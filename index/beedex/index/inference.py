"""Running an OpenVINO model on photos, several at a time, one photo a request.

Requests carry one photo each rather than a batch: on a CPU InceptionV3 gains nothing from batching once there is a
stream per core, and a single photo never waits for others (tests/benchmarks/inference_streams.py prints both).
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import properties

__all__ = ["InferencePool", "Outputs"]

# A stream whose photo is done finds the next one waiting, instead of having to wait until Python has handed it over:
# with it, and a third thread that decodes, a server of two cores answers 27.5 photos a second in place of 27.0 (95.7 %
# of a bare loop in place of 93.9, five rounds).
WAITING_REQUESTS = 1

# By output name, without the batch axis.
Outputs = Mapping[str, NDArray[np.float32]]


class InferencePool:
    """A compiled model with as many infer requests as run at once, and one that waits for its turn.

    Args:
        model: an OpenVINO model, or the path of its ``.xml``; input (1, S, S, 3), every output (1, ...).
        threads: how many CPU threads it may use; None for all that there are.

    Attributes:
        shapes: of the outputs by name, without the batch axis.
        input_shape: (S, S, 3).
        parallelism: how many photos are under way at the same time; a further `submit` blocks.
    """

    def __init__(self, model: ov.Model | Path, *, threads: int | None = None) -> None:
        core = ov.Core()
        config: dict[str, Any] = {
            properties.hint.performance_mode: properties.hint.PerformanceMode.THROUGHPUT,
            # CPUs with bfloat16 units would otherwise compute in bfloat16, and the same photo would get another
            # vector on another machine.
            properties.hint.inference_precision: ov.Type.f32,
        }
        if threads is not None:
            config[properties.inference_num_threads] = threads
        compiled = core.compile_model(model, "CPU", config)
        names = [next(iter(output.names)) for output in compiled.outputs]
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(output.shape)[1:] for name, output in zip(names, compiled.outputs, strict=True)
        }
        self.input_shape: tuple[int, ...] = tuple(compiled.input(0).shape)[1:]
        running: int = compiled.get_property(properties.optimal_number_of_infer_requests)
        self._queue = ov.AsyncInferQueue(compiled, running + WAITING_REQUESTS)
        # No method: the queue is C++, where the garbage collector doesn't see that it holds what holds it, and the
        # network and its threads would never be freed: 63 MB of each InceptionV3.
        self._queue.set_callback(partial(_finish, names))
        self.parallelism: int = len(self._queue)
        # start_async picks an idle request and then starts it: two threads could pick the same one.
        self._starting = threading.Lock()

    def submit(self, image: NDArray[np.uint8]) -> "Future[Outputs]":
        """Start inference of one photo.

        Args:
            image: (S, S, 3) uint8; it is copied, so the caller may reuse it.

        Returns:
            A future of the outputs by name, each without its batch axis. It completes on a thread of OpenVINO's,
            so its callbacks must be short.
        """
        future: Future[Outputs] = Future()
        future.set_running_or_notify_cancel()
        with self._starting:
            # In a list, out of which it is taken: the queue keeps what it is given until the request's next photo, and
            # the callbacks of a future, which this keeps in turn, lead to what holds the queue.
            self._queue.start_async({0: image[np.newaxis]}, userdata=[future])
        return future

    def run(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[Outputs]:
        """Infer a stream of photos, in order, with at most twice `parallelism` of them in memory."""
        source = iter(images)
        pending = [self.submit(image) for image in islice(source, 2 * self.parallelism)]
        while pending:
            first = pending.pop(0).result()
            pending.extend(self.submit(image) for image in islice(source, 1))
            yield first

    def close(self) -> None:
        """Wait for what is running."""
        self._queue.wait_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _finish(names: list[str], request: ov.InferRequest, waiting: "list[Future[Outputs]]") -> None:
    future = waiting.pop()
    try:
        # The tensors are overwritten by the request's next photo.
        outputs = {
            name: np.array(request.get_output_tensor(i).data[0], dtype=np.float32) for i, name in enumerate(names)
        }
    except Exception as error:  # noqa: BLE001 - it must reach the waiter, whatever it is
        future.set_exception(error)
    else:
        future.set_result(outputs)
