"""Write the generated pages: `python -m docs.generate`. With `--check`, only list those that are stale."""

import sys

from docs.generate.pages import DOCS, generated_files, stale_files


def main(arguments: list[str]) -> int:
    stale = stale_files()
    print("\n".join(stale) or "all generated pages are up to date")
    if "--check" in arguments:
        return int(bool(stale))
    files = generated_files()
    for name in stale:
        path = DOCS / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
