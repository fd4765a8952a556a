"""The command line: parse, one call, print. Nothing here imports torch at the top."""
