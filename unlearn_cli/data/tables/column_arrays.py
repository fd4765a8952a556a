"""Converts columns of DuckDB to the dtypes of records; gaps are masked values."""

import numpy as np


def normalise_dtype(values: np.ndarray) -> np.ndarray:
    """Return text as unicode, integers as int64, other numbers as float64; booleans unchanged."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind in "OMmU":
        return values.astype(str)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Return a masked column without its mask: gaps are NaN in a column of numbers, otherwise ''."""
    given = ~np.ma.getmaskarray(values)
    if given.all():
        return normalise_dtype(np.asarray(values))
    if values.dtype.kind in "iuf":
        return np.where(given, np.ma.getdata(values).astype(np.float64), np.nan)
    if values.dtype.kind == "b":
        return np.where(given, np.where(np.ma.getdata(values), "true", "false"), "")
    return np.where(given, np.ma.getdata(values).astype(str), "")
