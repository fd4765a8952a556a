"""Exports of a report's numbers to experiment trackers: --log-to. Each tracker is imported only when it is named."""
