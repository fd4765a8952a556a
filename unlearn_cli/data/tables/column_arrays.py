"""Columns as DuckDB returns them, brought to the few dtypes that records have; gaps are masked values."""

import numpy as np


def normalise_dtype(values: np.ndarray) -> np.ndarray:
    """Return text as unicode, whole numbers as int64, other numbers as float64; true and false as they are."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind in "OMmU":
        return values.astype(str)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Return a masked column without its mask: gaps are NaN among numbers, else ''."""
    given = ~np.ma.getmaskarray(values)
    if given.all():
        return normalise_dtype(np.asarray(values))
    if values.dtype.kind in "iuf":
        return np.where(given, np.ma.getdata(values).astype(np.float64), np.nan)
    if values.dtype.kind == "b":
        return np.where(given, np.where(np.ma.getdata(values), "true", "false"), "")
    return np.where(given, np.ma.getdata(values).astype(str), "")
