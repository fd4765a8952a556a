"""Make a saved model forget part of its training data, and show with numbers whether it did."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("unlearn-cli")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
