"""Make a saved model forget part of its training data, and show with numbers whether it did."""

from unlearn_cli.storage.version import VERSION as __version__

__all__ = ["__version__"]
