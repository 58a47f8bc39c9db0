"""Labels that look like one class, written in two ways."""

import re
import unicodedata


def groups(labels: list[str]) -> list[list[str]]:
    """Group labels that differ only in case, spaces, zeros behind the point, or the way that Unicode writes them."""
    by_form: dict[str, list[str]] = {}
    for label in labels:
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        by_form.setdefault(re.sub(r"(?<=^\d)(\d*)\.0+$", r"\1", plain), []).append(label)
    return [group for group in by_form.values() if len(group) > 1]
