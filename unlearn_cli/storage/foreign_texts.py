"""Recognises texts that stand where another file should be, such as a web page; for messages."""

TEXTS = {  # the first letters of a text, in lower case
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'",
    b"<!doctype": "a web page; fetch the file again",
    b"<html": "a web page; fetch the file again",
    b"<svg": "SVG; export it as PNG",
    b"<?xml": "XML",
}


def find_text(start: bytes) -> str:
    """Return what a file is whose first bytes are those of such a text; otherwise ''."""
    begins = start.lower().removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for mark, kind in TEXTS.items() if begins.startswith(mark)), "")
