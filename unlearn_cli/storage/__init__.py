"""Files: atomic writing, owners of half-written files, copies of remote files."""
