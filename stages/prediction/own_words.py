"""Errors and reasons of readers, in words for somebody who has a model's folder, and neither pipeline nor settings."""

import re

TRAIN_AGAIN = "copy the model's whole folder again, or train it again"
# What errors of prepare and of the pipeline's stages say that a user of predict does not have, and what to say instead.
IN_OWN_WORDS = (
    (r"(?:, or )?set prepare\.sheet to another", ""),
    (r"rename one, or correct prepare\.sheet", "give a sheet the name of the one that the model was trained on"),
    (r"if that is right, set prepare\.encoding: [^,]+, or save", "save"),
    (r"copy it there, or let prepare follow links with prepare\.follow_links: true", "copy it there"),
    (
        r"holds no train\{[^}]*\}; (?:add one, or )?",
        "holds no table named train, nor images for a model that reads images; ",
    ),
    (r"set prepare\.data to", "name"),
    (r"more than prepare\.max_pixels = (\S+) allows", r"more than the \1 that the model's data was allowed"),
    (r"run `dvc repro`, or name a folder", "name a folder"),
    (r"(?:delete it and )?run `dvc repro[^`]*`(?: to write it again)?(?:, or `dvc checkout`)?", TRAIN_AGAIN),
)


def in_own_words(text: str) -> str:
    """Put an error of a reader or of a model's file into what a user of predict can do."""
    for pattern, replacement in IN_OWN_WORDS:
        text = re.sub(pattern, replacement, text)
    return text
