"""Tables of results for pandas, which is optional."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from service.client.errors import NotInstalled


def frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return a pandas.DataFrame with a line for each row.

    Raises:
        NotInstalled: pandas is missing.
    """
    try:
        import pandas  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise NotInstalled("to_pandas needs pandas, which is not installed; run: pip install pandas") from error
    return pandas.DataFrame(list(rows))


def row_of(item: object) -> dict[str, Any]:
    """Return a flat row: an item's own `row()`, or its fields; other values as they are."""
    if hasattr(item, "row"):
        return dict(item.row())
    return item.model_dump() if isinstance(item, BaseModel) else {"value": item}
