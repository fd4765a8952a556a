"""Plug-ins seen from outside: signatures, settings, and what a manifest must provide for them. No torch."""
