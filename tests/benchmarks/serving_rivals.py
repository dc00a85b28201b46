"""What serving.py compares the server with, each in a process of its own: a bare loop, and an echo."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import openvino as ov
from openvino import properties

from beedex.index.preprocessing import prepare

__all__ = ["BareTask", "serve_bare", "serve_echo"]


@dataclass(frozen=True, kw_only=True)
class BareTask:
    """How the bare loop is to run.

    Attributes:
        workers: threads, each of which decodes a photo and then infers it.
        warm_s: how long it runs before photos count.
        seconds: how long they count.
    """

    workers: int
    warm_s: float = 0.5
    seconds: float = 2.0


def serve_bare(pipe: Connection, network: Path, photos: tuple[bytes, ...]) -> None:
    """Decode and infer as each `BareTask` says, and send (photos a second, CPU seconds), until None comes.

    With more workers than streams one decodes while others infer.
    """
    config = {
        properties.hint.performance_mode: properties.hint.PerformanceMode.THROUGHPUT,
        properties.hint.inference_precision: ov.Type.f32,
    }
    compiled = ov.Core().compile_model(network, "CPU", config)
    pipe.send(compiled.get_property(properties.optimal_number_of_infer_requests))
    while (task := pipe.recv()) is not None:
        pipe.send(_run_bare(compiled, photos, task))


def _run_bare(compiled: ov.CompiledModel, photos: tuple[bytes, ...], task: BareTask) -> tuple[float, float]:
    numbers, lock = count(), threading.Lock()
    begin_s = time.perf_counter() + task.warm_s
    end_s = begin_s + task.seconds

    def work() -> int:
        request, done = compiled.create_infer_request(), 0
        while time.perf_counter() < end_s:
            with lock:
                number = next(numbers)
            image = prepare(photos[number % len(photos)])
            request.infer({0: image[None]})
            done += begin_s <= time.perf_counter() < end_s
        return done

    with ThreadPoolExecutor(task.workers) as pool:
        working = [pool.submit(work) for _ in range(task.workers)]
        time.sleep(task.warm_s)
        began_s = time.process_time()
        time.sleep(max(0.0, end_s - time.perf_counter()))
        cpu_s = time.process_time() - began_s
        return sum(each.result() for each in working) / task.seconds, cpu_s


def serve_echo(pipe: Connection, reply_bytes: dict[str, int]) -> None:
    """Answer each method with so many bytes, whatever comes, until the process is ended; send the port."""
    asyncio.run(_serve_echo(pipe, reply_bytes))


async def _serve_echo(pipe: Connection, reply_bytes: dict[str, int]) -> None:
    server = grpc.aio.server()
    for full_name, size in reply_bytes.items():
        service, method = full_name.strip("/").split("/")
        handler: Any = grpc.unary_unary_rpc_method_handler(_answer_with(bytes(size)))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


def _answer_with(reply: bytes) -> Any:
    async def answer(_request: bytes, _context: object) -> bytes:
        return reply

    return answer
