"""Write run.py: the runner and the reader of one kind of input as one file that imports nothing of Headstart."""

import re
from pathlib import Path

READERS = {"tokens": "read_tokens.py", "terms": "read_terms.py", "pixels": "read_pictures.py"}
FILE = "run.py"


def write(folder: Path, kind: str) -> None:
    """Write the runner for inputs of a `kind` in `READERS`."""
    sources = (Path(__file__).with_name(name).read_text("utf-8") for name in ("runner.py", READERS[kind]))
    (doc, imports, body), (_, more_imports, reader) = map(_parts, sources)
    lines = sorted({*imports, *more_imports}, key=lambda line: (line.split()[0] == "from", line))
    third_party = [line for line in lines if re.match(r"(from|import) (numpy|onnxruntime|PIL|tokenizers)\b", line)]
    standard = [line for line in lines if line not in third_party]
    text = "\n".join([doc, "", *standard, "", *third_party, "", "", f"{reader}\n\n{body}"])
    (folder / FILE).write_text(text, "utf-8", newline="\n")


def _parts(source: str) -> tuple[str, list[str], str]:
    """Divide a module into its docstring, its imports of other packages, and the rest."""
    doc, rest = source.split("\n\n", 1)
    head, classes = rest.split("\n\n\n", 1)
    imports = [line for line in head.splitlines() if line and not line.startswith("from stages.")]
    return doc, imports, classes
