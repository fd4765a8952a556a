"""Names of files and folders that operating systems and tools add to data folders and archives; they are not data."""

SYSTEM = frozenset(
    (
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "~snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
    )
)


def is_system_name(name: str) -> bool:
    """Return whether a name belongs to a hidden file or folder (`._0.png`) or to a system's (`@eaDir`)."""
    return name.startswith(".") or name.casefold() in SYSTEM
