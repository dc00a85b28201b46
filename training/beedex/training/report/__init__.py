"""The report of a training or an evaluation: one self-contained HTML file.

`ReportContent` is what it shows, `write_report` writes it, `find_doubts` finds labels that the neighbors doubt.
"""

from beedex.training.report.content import (
    CalibrationEvidence,
    Confusion,
    EmbeddingMap,
    FamilyRow,
    FigureRow,
    GuardAction,
    History,
    Lookups,
    Origin,
    ReadPhoto,
    ReliabilityBin,
    ReportContent,
    ReportedPhoto,
    Results,
    Tap,
)
from beedex.training.report.doubts import Doubt, find_doubts
from beedex.training.report.page import write_report

__all__ = [
    "CalibrationEvidence",
    "Confusion",
    "Doubt",
    "EmbeddingMap",
    "FamilyRow",
    "FigureRow",
    "GuardAction",
    "History",
    "Lookups",
    "Origin",
    "ReadPhoto",
    "ReliabilityBin",
    "ReportContent",
    "ReportedPhoto",
    "Results",
    "Tap",
    "find_doubts",
    "write_report",
]
