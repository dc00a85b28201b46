"""Run by test_compatibility.py with the Python of an environment that has only the client: every kind of call, once.

    python -P -W error tests/client/roundtrip.py HOST:PORT PHOTO

Prints one JSON document.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beedex.client import AsyncClient, Client, ClientError

DEPENDENCIES = ("grpcio", "protobuf", "numpy", "googleapis-common-protos", "typer", "rich")


def use_client(address: str, photo: Path) -> dict[str, Any]:
    """A unary call with each kind of query, a stream in both directions, one of replies, and an error."""
    with Client(address, timeout_s=20) as client:
        answer = client.identify(photo, k=2)
        vector = client.embed(photo).vector
        return {
            "family": answer.family,
            "has_request_id": bool(answer.request_id),
            "nearest": client.neighbors(vector=vector, k=1)[0].path,
            "families": len(client.families()),
            "stream": [outcome.unwrap().family for outcome in client.identify_many([photo, photo])],
            "photo_bytes": len(client.photo(answer.neighbors[0].entry_id).content),
            "reason": read_reason(lambda: client.identify(b"not a photo")),
        }


async def use_async_client(address: str, photo: Path) -> dict[str, Any]:
    """The same, awaited."""
    async with AsyncClient(address, timeout_s=20) as client:
        answer = await client.identify(photo, k=2)
        vector = (await client.embed(photo)).vector
        try:
            reason = (await client.identify(b"not a photo")).reason
        except ClientError as error:
            reason = error.reason
        return {
            "family": answer.family,
            "has_request_id": bool(answer.request_id),
            "nearest": (await client.neighbors(vector=vector, k=1))[0].path,
            "families": len(await client.families()),
            "stream": [outcome.unwrap().family async for outcome in client.identify_many([photo, photo])],
            "photo_bytes": len((await client.photo(answer.neighbors[0].entry_id)).content),
            "reason": reason,
        }


def read_reason(call: Any) -> str:
    """Return why a call is refused."""
    try:
        call()
    except ClientError as error:
        return error.reason
    return ""


def main(address: str, photo: Path) -> None:
    """Use both clients and say with what."""
    document = {
        "versions": {name: version(name) for name in DEPENDENCIES},
        "heavy": sorted({"PIL", "faiss", "openvino", "pandas", "tensorflow"} & set(sys.modules)),
        "answers": [use_client(address, photo), asyncio.run(use_async_client(address, photo))],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
