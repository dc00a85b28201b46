"""Which way of showing pictures a terminal has, guessed from what it says of itself in the environment.

Only what a terminal is known by counts: a wrong guess fills the screen with letters. It is never asked, since its
answer would come through stdin, where a photo or another program's input may wait.
"""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["PictureProtocol", "detect_protocol"]


class PictureProtocol(StrEnum):
    """How pictures are shown; AUTO is whichever the terminal is known to have."""

    AUTO = "auto"
    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    NONE = "none"


# By the name in TERM_PROGRAM. Editors are not among them: they show pictures only if a setting of theirs says so.
BY_PROGRAM = {
    "ghostty": PictureProtocol.KITTY,
    "iTerm.app": PictureProtocol.ITERM2,
    "WezTerm": PictureProtocol.ITERM2,
    "mintty": PictureProtocol.ITERM2,
}

BY_TERM = {
    "xterm-kitty": PictureProtocol.KITTY,
    "xterm-ghostty": PictureProtocol.KITTY,
    "foot": PictureProtocol.SIXEL,
    "foot-extra": PictureProtocol.SIXEL,
    "mlterm": PictureProtocol.SIXEL,
    "yaft-256color": PictureProtocol.SIXEL,
}

# A multiplexer between the program and the terminal, which swallows or garbles pictures.
MULTIPLEXERS = ("screen", "tmux")


def detect_protocol(environment: Mapping[str, str], *, is_terminal: bool) -> PictureProtocol:
    """Return the way that the terminal is known to have, NONE if none is known.

    Example:
        >>> detect_protocol({"TERM": "xterm-kitty"}, is_terminal=True)
        <PictureProtocol.KITTY: 'kitty'>
        >>> detect_protocol({"TERM": "xterm-256color"}, is_terminal=True)
        <PictureProtocol.NONE: 'none'>
    """
    term = environment.get("TERM", "")
    if not is_terminal or environment.get("TMUX") or environment.get("STY") or term.startswith(MULTIPLEXERS):
        return PictureProtocol.NONE
    if environment.get("KITTY_WINDOW_ID"):
        return PictureProtocol.KITTY
    named = BY_PROGRAM.get(environment.get("TERM_PROGRAM", ""), BY_TERM.get(term))
    if named is not None:
        return named
    # LC_TERMINAL comes along over ssh, where TERM_PROGRAM stays behind.
    if environment.get("LC_TERMINAL") == "iTerm2":
        return PictureProtocol.ITERM2
    return PictureProtocol.SIXEL if "sixel" in term else PictureProtocol.NONE
