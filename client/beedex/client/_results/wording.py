"""How results are written in a REPL: values short enough for a line, texts in quotes."""

from collections.abc import Iterable

__all__ = ["enumerate_few", "quote", "shorten_fingerprint", "write_number", "write_value"]

# Of any text, so that a path or a label of a thousand characters doesn't fill the screen.
TEXT_SHOWN = 60

# As in the commands' own messages: enough that no two embedders of one place share them.
FINGERPRINT_SHOWN = 12

ITEMS_SHOWN = 3


def quote(text: str) -> str:
    """Return a text in quotes, its middle left out where it is long."""
    if len(text) > TEXT_SHOWN:
        half = TEXT_SHOWN // 2
        text = f"{text[:half]}…{text[-half:]}"
    return repr(text)


def shorten_fingerprint(fingerprint: str) -> str:
    """Return the beginning of an embedder's fingerprint."""
    return fingerprint[:FINGERPRINT_SHOWN]


def write_number(value: float) -> str:
    """Return a similarity, a probability or any other number to three places."""
    return f"{value:.3f}"


def enumerate_few(items: Iterable[str], count: int) -> str:
    """Return the first few of *count* items, and how many more there are."""
    shown = [item for item, _ in zip(items, range(ITEMS_SHOWN), strict=False)]
    more = count - len(shown)
    return ", ".join([*shown, *([f"+{more}"] if more else [])])


def write_value(value: object) -> str:
    """Return a field's value as a result's repr shows it."""
    # Only what is exactly one of these; a text of an enumeration has a repr of its own.
    if type(value) is str:
        return quote(value)
    if type(value) is float:
        return write_number(value)
    if type(value) is tuple:
        return f"({enumerate_few(map(write_value, value), len(value))})"
    return repr(value)
