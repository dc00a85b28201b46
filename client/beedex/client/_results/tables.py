"""Results as tables of pandas and arrays of numpy, for a caller who has them."""

from typing import TYPE_CHECKING, Any

from beedex.client._results.result import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    import pandas as pd

    from beedex.client._results.result import Answer

__all__ = ["flatten", "tabulate"]


def tabulate(rows: "Iterable[object]", columns: "Sequence[str]", origin: "Answer") -> "pd.DataFrame":
    """Return one row for each result, numbered from 0, with *columns* first.

    What a row holds in turn, such as an outcome's entry, has columns named by both, with a dot between. What the answer
    was made with is in the frame's `attrs`.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas: Any = _import_pandas()
    records = flatten(plain(row) for row in rows)
    names = list(dict.fromkeys([*columns, *(name for record in records for name in record)]))
    frame: pd.DataFrame = pandas.DataFrame.from_records(records, columns=names)
    frame.attrs.update(fingerprint=origin.fingerprint, snapshot=origin.snapshot, request_id=origin.request_id)
    return frame


def flatten(records: "Iterable[dict[str, Any]]") -> list[dict[str, Any]]:
    """Return plain data without what is nested: its names are joined by a dot."""
    flat = [_join_names(record) for record in records]
    # What is None in one row and nested in another has only the columns of the latter.
    nested = {name.partition(".")[0] for record in flat for name in record if "." in name}
    return [{name: value for name, value in record.items() if name not in nested} for record in flat]


def _join_names(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": item for inner, item in value.items()})
        else:
            flat[name] = value
    return flat


def _import_pandas() -> "ModuleType":
    try:
        import pandas as pd  # noqa: PLC0415 - not among what the client needs, and half a second to load
    except ImportError as error:
        raise ImportError(
            "to_pandas makes a table of pandas, which is not installed: pip install pandas, "
            "or take the plain data of to_dict()",
            name="pandas",
        ) from error
    return pd
