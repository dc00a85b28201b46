"""The JSON documents of the commands: the keys that programs rely on.

An element of `identify` and of `neighbors` has the same keys whether the photo was answered or failed.
"""

from typing import TYPE_CHECKING, Any

from beedex.client._results.result import plain_error

if TYPE_CHECKING:
    from beedex.client import ClientError, Identification, Neighbors

__all__ = ["describe_identification", "describe_neighbors"]


def describe_identification(
    photo: str, answer: "Identification | None", error: "ClientError | None" = None
) -> dict[str, Any]:
    """Return one element of what `identify --json` prints."""
    empty: dict[str, Any] = {
        "verdict": None,
        "family": None,
        "probability": None,
        "candidates": [],
        "reason": "",
        "families": [],
        "neighbors": [],
        **_NO_ORIGIN,
    }
    return {
        "photo": photo,
        **(empty if answer is None else answer.to_dict()),
        "error": None if error is None else plain_error(error),
    }


def describe_neighbors(photo: str, answer: "Neighbors | None", error: "ClientError | None" = None) -> dict[str, Any]:
    """Return one element of what `neighbors --json` prints."""
    empty: dict[str, Any] = {"neighbors": [], **_NO_ORIGIN}
    return {
        "photo": photo,
        **(empty if answer is None else answer.to_dict()),
        "error": None if error is None else plain_error(error),
    }


_NO_ORIGIN: dict[str, Any] = {"fingerprint": None, "snapshot": None, "request_id": ""}
