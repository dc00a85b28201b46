"""The report: one HTML file that needs nothing else, and asks for nothing.

The page's own policy forbids every request: images are data URIs, the one script is named by its hash. Names of photos
and families come from whoever filled the gallery, so that the templates escape all they are given.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from beedex.index.durable import replace_file
from beedex.index.metrics import Figure
from beedex.training.report.confusion import lay_out_confusion
from beedex.training.report.content import ReportContent
from beedex.training.report.curves import plot_training
from beedex.training.report.embeddingmap import PlottedMap, plot_map
from beedex.training.report.lookups import choose_lookups, list_doubts, list_shown_photos
from beedex.training.report.markers import SHAPES
from beedex.training.report.reliability import plot_reliability
from beedex.training.report.sampling import sample_evenly
from beedex.training.report.strips import WHOLE, fit_axis, make_strip
from beedex.training.report.thumbnails import Thumbnail, make_thumbnails

__all__ = ["render_report", "write_report"]

HERE = Path(__file__).parent

# About 4 MB of thumbnails, of 3 kB each before base64.
MOST_THUMBNAILS = 1000


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report as one HTML file; a reader sees the old file or the new one.

    Args:
        path: the file, in a directory that exists.
        content: what it shows.

    Raises:
        OSError: the file can't be written.
    """
    # A file name may hold bytes that are no text; Python keeps them as lone surrogates, which UTF-8 has no room for.
    replace_file(path, render_report(content).encode("utf-8", "backslashreplace"))


def render_report(content: ReportContent) -> str:
    """Return the page; the same content gives the same page."""
    environment = _build_environment()
    script = _read("report.js")
    return environment.get_template("report.html.jinja").render(
        content=content,
        sections=_prepare(content),
        style=Markup(_read("report.css")),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        shapes=SHAPES,
    )


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The embedded thumbnails by photo, and how many photos have none, by reason."""

    thumbnails: dict[int, Thumbnail]
    unreadable: int
    left_out: int


def _prepare(content: ReportContent) -> dict[str, Any]:
    """Return what each section shows, under the names that the template uses."""
    best, worst = choose_lookups(content)
    doubts = list_doubts(content)
    plotted = plot_map(content)
    pictures = _embed_pictures(content, list_shown_photos([*best, *worst, *doubts]), plotted)
    calibration = content.calibration
    return {
        "pictures": pictures,
        "best": best,
        "worst": worst,
        "doubts": doubts,
        "map": plotted,
        "confusion": lay_out_confusion(content.confusion, content.families) if content.confusion else None,
        "reliability": plot_reliability(calibration.bins) if calibration else None,
        "trainings": [plot_training(history) for history in content.histories],
        "tap_axis": fit_axis(tap.map_at_r for tap in content.taps),
        "whole_axis": WHOLE,
    }


def _embed_pictures(content: ReportContent, shown: list[int], plotted: PlottedMap | None) -> Pictures:
    """Make the thumbnails of all photos in rows, and of as many on the map as there is room for."""
    on_map = sorted({point.photo for point in plotted.points} - set(shown)) if plotted else []
    room = max(0, MOST_THUMBNAILS - len(shown))
    labels = content.labels[on_map] if on_map else np.empty(0, np.int64)
    chosen = [on_map[i] for i in sample_evenly(labels, room)]
    thumbnails = make_thumbnails(content.read_photo, [*shown, *chosen])
    wanted = len(shown) + len(chosen)
    return Pictures(thumbnails=thumbnails, unreadable=wanted - len(thumbnails), left_out=len(on_map) - len(chosen))


def _build_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _write_figure
    environment.filters["interval"] = _write_interval
    environment.filters["strip"] = make_strip
    return environment


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _write_figure(figure: Figure | float | None) -> str:
    value = figure.value if isinstance(figure, Figure) else figure
    return "\N{EN DASH}" if value is None or not np.isfinite(value) else f"{value:.2f}"


def _write_interval(figure: Figure | float | None) -> str:
    if not isinstance(figure, Figure) or not np.isfinite([figure.low, figure.high]).all():
        return ""
    return f"{figure.low:.2f} to {figure.high:.2f}"
