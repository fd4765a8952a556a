"""Image files as samples: decoding, depth, checks, paths."""
