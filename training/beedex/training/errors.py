"""The errors of the trainer, beside those of `beedex.index`.

BeedexError
└── TrainingError        the trainer can't do what was asked
    └── WeightsError     the backbone's weights can't be had or read
"""

from beedex.index.errors import BeedexError

__all__ = ["TrainingError", "WeightsError"]


class TrainingError(BeedexError):
    """Training or evaluation can't be done on this gallery or with these settings."""


class WeightsError(TrainingError):
    """The backbone's weights can't be had; the message names the other ways."""
