"""report.html: what was trained, how good it is and where it is wrong, in one file that works offline.

The page is `template.html` with `style.css`, the scripts and all data as JSON inside. The scripts show data as text and
never as HTML, so a row that holds a script is shown and not run. The page's content security policy forbids every
request. Its size is bounded: all texts or thumbnails take at most 10 MB (inputs.py), and all else takes about 2 MB for
10,000 test and 5,000 training rows.
"""

from pathlib import Path

import jinja2

from stages.common.backbone_shorthand import members, titled
from stages.evaluation import labels_saved, verdict
from stages.evaluation.learning_curve import BASELINES
from stages.evaluation.report import content, terms, words
from stages.evaluation.report.content import layout
from stages.evaluation.report.embedded import embedded
from stages.evaluation.results import Results
from stages.evaluation.rounded_json import rounded
from stages.scores import metric_texts

__all__ = ["FILE", "layout", "write"]

FILE = "report.html"
# In this order one script; between the first and the last ones those of classes or of numbers.
FIRST_SCRIPTS, LAST_SCRIPTS = ("base", "charts"), ("rows", "slices", "checks", "map", "lasso", "start")
CLASS_SCRIPTS, NUMBER_SCRIPTS = ("labels", "trust", "classes", "why"), ("numbers",)


def write(path: Path, prepared_folder: Path, results: Results) -> None:
    """Write the report to `path`; the texts and images of rows come from the prepared table.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    folder, head = Path(__file__).parent, results.cards["head"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    data, task = content.collect(prepared_folder, results), results.scored.task
    scripts = (*FIRST_SCRIPTS, *(CLASS_SCRIPTS if task.has_classes else NUMBER_SCRIPTS), *LAST_SCRIPTS)
    kinds = "classes" if task.is_exclusive else "labels"
    html = environment.get_template("template.html").render(
        style=(folder / "style.css").read_text("utf-8"),
        script="\n".join((folder / f"{name}.js").read_text("utf-8") for name in scripts),
        data=embedded(rounded(data)),
        head=head,
        title=titled(head.backbone),
        backbones=members(head.backbone),
        finetuned=results.cards.get("finetuned"),
        models=list(results.scored.probabilities),
        terms=terms.about(f"{results.scored.noun}s"),
        metrics=results.metrics,
        columns=[name for name in results.metrics["head"] if name != "calibration_error_before"],
        pair_columns=(task.primary, task.second),
        number=metric_texts.value,
        words=metric_texts.name,
        baseline=BASELINES[head.modality],
        verdict=[line.partition(": ") for line in verdict.lines(results)],
        warnings=list(words.warnings(results)),
        is_near_chance=results.is_near_chance,
        weakness=results.weakness,
        curve=words.curve(results),
        certainty=list(words.certainty(results)),
        saved=labels_saved.sentence(results.metrics["labels_saved"], has_classes=task.has_classes),
        settings=results.settings,
        task=task,
        kinds=kinds,
        subject=f"{len(head.labels)} {kinds}" if task.has_classes else "numbers",
        judged=f"{results.scored.noun}s",
        known=results.scored.known_nouns,
        judged_rows=len(results.scored.truth),
        shown=len(data["rows"]["truth"]),
        shown_train=len(data["train"]["label"]),
        train_rows=len(results.train.ids),
    )
    path.write_text(html, "utf-8", newline="\n")
