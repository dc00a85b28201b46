"""What a browser has already."""

__all__ = ["is_known"]


def is_known(if_none_match: str, tag: str) -> bool:
    """Tell whether the header If-None-Match names *tag*.

    >>> is_known('W/"a", "b"', '"b"'), is_known("", '"b"')
    (True, False)
    """
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or tags == ["*"]
