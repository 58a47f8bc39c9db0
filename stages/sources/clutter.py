"""Files and folders that systems and file managers write beside those of people."""

# In lower case, beside hidden ones.
NAMES = {
    *("__macosx", "network trash folder", "temporary items", "icon\r"),  # macOS
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "#recycle", "#snapshot", "lost+found", "picasa.ini", "zbthumbnail.info", "__pycache__"),
}
REASON = "is hidden, or written by a system or file manager"


def is_clutter(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or written by a system or file manager."""
    return name.startswith(".") or name.lower() in NAMES
