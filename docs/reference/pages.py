"""Pages that are written by hand, but for the regions in them that are made from the code.

A region stands between two comments, which no reader sees:

    <!-- made from the code: NAME -->
    <!-- end -->
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["fill", "write_table"]

_REGION = re.compile(r"<!-- made from the code: ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(page: str, makers: Mapping[str, Callable[[], str]]) -> str:
    r"""Return *page* with its regions made anew.

    Raises:
        ValueError: a region has no maker, or a maker has no region on the page.

    Example:
        >>> page = "<!-- made from the code: day -->\n<!-- end -->"
        >>> fill(page, {"day": lambda: "Monday"}).split("\n\n")
        ['<!-- made from the code: day -->', 'Monday', '<!-- end -->']
    """
    found = _REGION.findall(page)
    if sorted(found) != sorted(makers):
        raise ValueError(f"expected one region of each of {sorted(makers)}, received a page with {sorted(found)}")

    def make(region: re.Match[str]) -> str:
        name = region[1]
        return f"<!-- made from the code: {name} -->\n\n{makers[name]().strip()}\n\n<!-- end -->"

    return _REGION.sub(make, page)


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table; cells may hold anything but become one line each.

    Example:
        >>> print(write_table(["name", "type"], [["`k`", "`int | None`"]]))
        | name | type |
        |---|---|
        | `k` | `int \| None` |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(_write_row(cells, is_rule=place == 1) for place, cells in enumerate(lines))


def _write_row(cells: Sequence[str], *, is_rule: bool) -> str:
    if is_rule:
        return f"|{'|'.join(cells)}|"
    return f"| {' | '.join(map(_write_cell, cells))} |"


def _write_cell(text: str) -> str:
    # A bar would end the cell, within code too.
    return " ".join(text.split()).replace("|", "\\|")
