"""The photos that a relay holds, each in a place of its own, and how long a place may be taken."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import Message

from beedex.client._errors import ClientError
from beedex.client._results.outcomes import Outcome

if TYPE_CHECKING:
    from beedex.client._photos.photos import PhotoSource

__all__ = ["Place", "Terms"]

Item = TypeVar("Item", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How photos are relayed.

    Attributes:
        in_flight: how many photos are held at most, at least 1.
        timeout_s: how long a photo may take from when it was read to its answer, in seconds.
        attempts: how often a photo is sent at most.
    """

    in_flight: int
    timeout_s: float
    attempts: int

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, received in_flight={self.in_flight}")


@dataclass(slots=True)
class Place(Generic[Item, Result]):
    """A photo that is held.

    Attributes:
        item: what is sent; None once it is answered.
        expires_at: when its time is over.
        ready_at: from when on it may be sent.
        is_under_way: whether the open stream has it.
        number: its place in that stream, from 1.
        sends: how often it was sent.
        outcome: what became of it.
    """

    index: int
    photo: "PhotoSource"
    item: Item | None
    expires_at: float
    ready_at: float = 0.0
    is_under_way: bool = False
    number: int = 0
    sends: int = 0
    outcome: Outcome[Result] | None = None

    def settle(self, *, result: Result | None = None, error: ClientError | None = None) -> None:
        """Give it its outcome."""
        self.outcome = Outcome(index=self.index, photo=self.photo, result=result, error=error)
        # A photo is large.
        self.item, self.is_under_way = None, False
