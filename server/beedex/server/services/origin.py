"""What every service does first and last: take one engine that is as expected, and name it in the reply."""

from beedex.server.calls.queries import check_expectation
from beedex.server.calls.work import note_origin
from beedex.server.engine import Engine, EngineSlot
from beedex.v1 import types_pb2

__all__ = ["describe_origin", "take_engine"]


def take_engine(slot: EngineSlot, expectation: types_pb2.Expectation) -> Engine:
    """Return the engine that this request is answered with, from beginning to end.

    Raises:
        LoadingError: none is loaded yet.
        ExpectationFailedError: it is not the one that the caller relies on.
    """
    engine = slot.current
    check_expectation(expectation, engine)
    note_origin(engine.fingerprint, engine.snapshot_version)
    return engine


def describe_origin(engine: Engine) -> types_pb2.Origin:
    """Return what the reply was made with."""
    return types_pb2.Origin(fingerprint=engine.fingerprint, snapshot=engine.snapshot_version)
