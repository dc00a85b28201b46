"""What works on this machine: libraries, extras, weights, the server, the terminal. Looking never raises."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beedex.client.command.connection import Connection
from beedex.client.parts import describe_faults, load_parts
from beedex.client.pictures.choice import detect_protocol

__all__ = ["LIBRARIES", "examine", "examine_extras", "examine_library", "examine_terminal"]

# The distributions that matter by the name that is imported; the first ones are always there.
BASE = ("grpcio", "protobuf", "numpy", "typer", "rich")
LIBRARIES: Mapping[str, str] = {
    "grpcio": "grpc",
    "protobuf": "google.protobuf",
    "numpy": "numpy",
    "typer": "typer",
    "rich": "rich",
    "pillow": "PIL.Image",
    "faiss-cpu": "faiss",
    "openvino": "openvino",
    "pydantic": "pydantic",
    "scipy": "scipy",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "grpcio-health-checking": "grpc_health.v1.health_pb2",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "beedex-weights": "beedex.weights",
}

# TensorFlow takes ten seconds on a slow machine that hasn't loaded it before; a minute is a hang.
IMPORT_TIMEOUT_S = 60.0

# Nobody waits longer to hear that no server is there.
SERVER_TIMEOUT_S = 5.0

# Where Keras keeps what it has downloaded.
IMAGENET_FILE = Path("models", "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5")
BUNDLED_PATTERN = "*.weights.h5"


def examine(connection: Connection, *, is_server_named: bool) -> dict[str, Any]:
    """Return what `doctor --json` prints.

    `faults` has a sentence for each thing that is there and doesn't work; what isn't installed is no fault, and neither
    is a server that nobody named.
    """
    faults: list[str] = []
    libraries = _attempt("the libraries", _examine_libraries, faults)
    parts = _attempt("the parts", load_parts, faults)
    extras = _attempt("the extras", lambda: examine_extras(requires("beedex") or []), faults)
    weights = _attempt("the weights", lambda: examine_weights(os.environ), faults)
    server = examine_server(connection)
    faults += [f"{library['name']} can't be imported: {library['fault']}" for library in libraries if library["fault"]]
    faults += describe_faults(parts)
    if server["error"] and is_server_named:
        faults.append(server["error"])
    return {
        "ok": not faults,
        "faults": faults,
        "beedex": _find_version("beedex"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": libraries,
        "extras": extras,
        "weights": weights,
        "server": server,
        "terminal": examine_terminal(os.environ, is_terminal=sys.stdout.isatty()),
    }


def _attempt(what: str, look: Callable[[], Sequence[Any]], faults: list[str]) -> Sequence[Any]:
    """Return what was found; nothing, and one more of *faults*, if it couldn't be looked for."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the doctor was asked for
        faults.append(f"{what} can't be looked at: {type(error).__name__}: {error}")
        return ()


def _examine_libraries() -> list[dict[str, Any]]:
    # In processes of their own: a broken library may end its process, and a whole one takes seconds.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        examined = pool.map(lambda item: examine_library(*item), LIBRARIES.items())
        return [library for library in examined if library["version"] is not None or library["name"] in BASE]


def examine_library(distribution: str, module: str) -> dict[str, Any]:
    """Return a library's `name`, `version` (None if it isn't there) and `fault`, empty when it can be imported."""
    found = _find_version(distribution)
    if found is None:
        missing = "it isn't installed; run: pip install --force-reinstall beedex" if distribution in BASE else ""
        return {"name": distribution, "version": None, "fault": missing}
    return {"name": distribution, "version": found, "fault": _try_import(module)}


def _try_import(module: str) -> str:
    command = [sys.executable, "-P", "-c", f"import {module}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(  # noqa: S603 - this very Python
            command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {IMPORT_TIMEOUT_S:.0f} s"
    except OSError as error:
        return f"no process can be started to try it: {error}"
    if done.returncode == 0:
        return ""
    last = done.stderr.strip().splitlines()[-1:]
    return last[0] if last else f"its process ended with exit code {done.returncode}"


def _find_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def examine_extras(requirements: list[str]) -> list[dict[str, Any]]:
    """Return each extra's `name`, `missing` distributions and how to `get` it, from a distribution's requirements.

    Example:
        >>> examine_extras(["numpy>=2.0", "no-such-thing>=1; extra == 'photos'"])
        [{'name': 'photos', 'missing': ['no-such-thing'], 'get': "pip install 'beedex[photos]'"}]
    """
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        words, _, marker = requirement.partition(";")
        _, found, extra = marker.partition("extra ==")
        if found:
            wanted.setdefault(extra.strip().strip("'\""), []).append(_read_name(words))
    return [
        {
            "name": extra,
            "missing": [name for name in sorted(set(names)) if _find_version(name) is None],
            "get": f"pip install 'beedex[{extra}]'",
        }
        for extra, names in sorted(wanted.items())
    ]


def _read_name(requirement: str) -> str:
    for place, character in enumerate(requirement):
        if not (character.isalnum() or character in "-_."):
            return requirement[:place]
    return requirement


def examine_weights(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return where the weights of the backbone are; `path` is None for those that aren't on this machine."""
    keras_home = Path(environment.get("KERAS_HOME", "~/.keras")).expanduser()
    imagenet = keras_home / IMAGENET_FILE
    try:
        spec = find_spec("beedex.weights")
    except (ImportError, ValueError):
        spec = None
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec is not None else []
    bundled = next((file for folder in folders for file in sorted(folder.glob(BUNDLED_PATTERN))), None)
    return [
        {
            "name": "imagenet",
            "path": str(imagenet) if imagenet.is_file() else None,
            "get": "`beedex train` downloads them",
        },
        {"name": "bundled", "path": str(bundled) if bundled else None, "get": "pip install 'beedex[offline]'"},
    ]


def examine_server(connection: Connection) -> dict[str, Any]:
    """Return whether the server answers, and what it serves; of secrets, only where they are from."""
    told: dict[str, Any] = {
        "target": connection.target,
        "tls": connection.is_encrypted,
        "token": connection.token_source,
        "health": "UNREACHABLE",
        "version": None,
        "fingerprint": None,
        "snapshot": None,
        "entries": None,
        "error": "",
    }
    try:
        from beedex.client import ClientError  # noqa: PLC0415 - a broken gRPC must not keep the doctor from saying so

        try:
            with connection.open() as client:
                status = client.status(timeout_s=min(connection.timeout_s, SERVER_TIMEOUT_S))
        except ClientError as error:
            # A server that gives a reason is there, and says why it doesn't answer.
            return told | {"health": "NOT_SERVING" if error.reason else "UNREACHABLE", "error": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the doctor was asked for
        return told | {"error": f"{type(error).__name__}: {error}"}
    return told | {
        "health": "SERVING",
        "version": status.server_version,
        "fingerprint": status.fingerprint,
        "snapshot": status.snapshot,
        "entries": status.entries,
    }


def examine_terminal(environment: Mapping[str, str], *, is_terminal: bool) -> dict[str, Any]:
    """Return what stdout can show."""
    from rich.console import Console  # noqa: PLC0415 - as above

    console = Console()
    return {
        "is_terminal": is_terminal,
        "columns": console.width if is_terminal else None,
        "colours": None if console.no_color else console.color_system,
        "pictures": str(detect_protocol(environment, is_terminal=is_terminal)),
    }
