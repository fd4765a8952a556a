"""Plug-ins described without importing them: signatures, settings, and requirements on the manifest. No torch."""
