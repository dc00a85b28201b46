"""What the server tells of itself: its status, its embedder's report, and whether it is alive and ready."""

import math
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse, Response

from beedex.server.config import LimitsConfig
from beedex.server.engine import EngineSlot
from beedex.server.errors import ResourceNotFoundError
from beedex.server.services.origin import take_engine
from beedex.server.services.snapshots import pack_limits
from beedex.server.services.status import describe_status
from beedex.server.watching.endpoint import answer_metrics, describe_readiness
from beedex.server.watching.readiness import Readiness
from beedex.server.web.headers import REPORT_POLICY
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.latency import RecentLatency
from beedex.server.web.pool import PhotoPool
from beedex.server.web.rows import describe_origin, make_plain

__all__ = ["State"]

REPORT_NAME = "report/report.html"


class State:
    """Answers what is asked about the server.

    Args:
        slot: holds what answers.
        limits: of requests.
        readiness: tells whether it serves.
        latency: of recent requests.
        registry: holds the metrics.
        pool: where the report is read.
    """

    def __init__(
        self,
        slot: EngineSlot,
        limits: LimitsConfig,
        *,
        readiness: Readiness,
        latency: RecentLatency,
        registry: CollectorRegistry,
        pool: PhotoPool,
    ) -> None:
        self._slot, self._limits = slot, pack_limits(limits)
        self._readiness, self._latency, self._registry, self._pool = readiness, latency, registry, pool

    async def tell_status(self, inquiry: Inquiry) -> Response:
        """Tell what GetStatus tells, and how long requests take."""
        engine = take_engine(self._slot, inquiry.expectation)
        status = make_plain(describe_status(engine, self._limits))
        del status["origin"]
        body = {
            **status,
            "phase": self._readiness.phase.value,
            "index_problem": self._readiness.problem or None,
            "latency": self._latency.describe(),
            "fingerprint": engine.fingerprint,
            "request_id": inquiry.request_id,
        }
        return JSONResponse(body)

    async def tell_report(self, inquiry: Inquiry) -> Response:
        """Tell how good the embedder is, as its trainer measured it."""
        engine = take_engine(self._slot, inquiry.expectation)
        card = engine.card
        body = {
            "metrics": _leave_finite(card.metrics),
            "families": list(card.families),
            "backbone": card.backbone,
            "weights": card.weights.model_dump(),
            "calibration": None if card.calibration is None else _leave_finite(card.calibration.model_dump()),
            "training": _leave_finite(card.training),
            "has_page": REPORT_NAME in card.files,
            **describe_origin(engine, inquiry),
        }
        return JSONResponse(body)

    async def show_report(self, inquiry: Inquiry) -> Response:
        """Send the trainer's report."""
        engine = take_engine(self._slot, inquiry.expectation)
        path = engine.searcher.bundle.path / REPORT_NAME
        if REPORT_NAME not in engine.card.files:
            raise ResourceNotFoundError(
                "the embedder has no report: its bundle was written without one", reason="REPORT_MISSING"
            )
        try:
            data = await self._pool.run(path.read_bytes)
        except OSError as error:
            raise ResourceNotFoundError(
                f"the embedder's report can't be read: {error.strerror or error}", reason="REPORT_MISSING"
            ) from error
        # Browsers show nothing of what is in a sandbox and wants its windows to itself.
        headers = {"Content-Security-Policy": REPORT_POLICY, "Cross-Origin-Opener-Policy": "unsafe-none"}
        return Response(data, media_type="text/html", headers=headers)

    async def tell_alive(self, inquiry: Inquiry) -> Response:
        """Say that the event loop turns."""
        del inquiry
        return JSONResponse({"status": "live"})

    async def tell_ready(self, inquiry: Inquiry) -> Response:
        """Say whether requests are answered, as health over gRPC does."""
        del inquiry
        return JSONResponse(describe_readiness(self._readiness), status_code=200 if self._readiness.is_serving else 503)

    async def tell_metrics(self, inquiry: Inquiry) -> Response:
        """Tell the metrics, as the endpoint of its own does."""
        return answer_metrics(self._registry, inquiry.headers.get("accept", ""))


def _leave_finite(value: Any) -> Any:  # noqa: ANN401 - whatever the card holds
    """Return *value* without numbers that JSON lacks."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _leave_finite(one) for name, one in value.items()}
        case list() | tuple():
            return [_leave_finite(one) for one in value]
        case _:
            return value
