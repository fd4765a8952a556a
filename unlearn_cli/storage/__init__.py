"""Files: atomic writing, owners of half-written ones, remote copies."""
