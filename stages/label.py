"""Label: a page on this machine on which a person labels rows, one after another, with the keyboard.

    python -m stages.label

Opens a browser, on an address that only this machine reaches. Shows a text, a pair of texts or a picture, and the
model's guess as soon as two classes have training rows. Two queues: suggested rows, for training, and random rows, for
an honest test. Needs prepared rows without a label, and for guesses and suggestions their vectors; imports no torch.

Every label is on the disk at once, in the file that prepare.labels names, or else data/labels.csv. Set prepare.labels
to it; then `dvc repro` learns from the labels, and the page takes over the new tables by itself.
"""

from pathlib import Path

from stages.common import cli, locks, params, run_stats
from stages.common.errors import HeadstartError, counted
from stages.labelling import progress, snapshot
from stages.labelling.session import Session
from stages.labelling.snapshot import Snapshot
from stages.labelling.worker import Worker
from stages.tables import prepared
from stages.tables.label_info import check_single

LABELS = Path("data/labels.csv")


def label(*, params_file: Path, port: int, opens_browser: bool, prepared_folder: Path, features_folder: Path) -> None:
    """Serve the page until Ctrl+C.

    Args:
        port: 0 takes a free one.

    Raises:
        HeadstartError: FastAPI is missing, there are no unlabelled rows, the port or the file of labels is in use, or
            an input is damaged.
    """
    try:
        from stages.labelling import serving
    except ImportError as error:
        raise HeadstartError(
            f"the page needs the package {error.name}; run `pip install -e '.[label]'`, or label by `stages.suggest`"
        ) from None
    labels_path = Path(params.load(params_file).prepare.labels or LABELS)

    def take() -> tuple[Snapshot, bool]:
        settings = params.load(params_file).prepare
        counts = settings.labels is not None and Path(settings.labels) == labels_path
        return snapshot.take(prepared_folder, features_folder, settings), counts

    with locks.held(labels_path.with_name(f"{labels_path.name}.page")) as is_ours:
        if not is_ours:
            raise HeadstartError(f"another page labels into {labels_path}; open the address that it printed, or end it")
        check_single(
            prepared.read_info(prepared_folder),
            "the page for labels",
            instead="write labels into the table, or into the file prepare.labels",
        )
        tables, counts = take()
        if not tables.row_of:
            raise HeadstartError(
                f"{prepared_folder / prepared.UNLABELLED} holds no rows; leave the label of rows in your table empty,"
                " and run `dvc repro`"
            )
        session = Session(tables, labels_path, counts=counts)
        if not counts:
            print(f"label: {progress.not_joined(labels_path)}")
        Worker(session, stamp=lambda: snapshot.stamp(prepared_folder, features_folder), renew=take).start()
        serving.serve(session, port=port, opens_browser=opens_browser)
    print(f"label: {counted(session.book.given, 'new label')} -> {labels_path} in {run_stats.spent()}")


def main() -> None:
    default = "(default: %(default)s)"
    args = cli.arguments(
        __doc__,
        options={
            "--port": {"type": int, "default": 0, "help": "of the page (default: a free one)"},
            "--no-browser": {"action": "store_true", "help": "only print the address"},
            "--prepared": {"type": Path, "default": Path("data/prepared"), "help": default},
            "--features": {"type": Path, "default": Path("data/features"), "help": default},
        },
    )
    label(
        params_file=args.params,
        port=args.port,
        opens_browser=not args.no_browser,
        prepared_folder=args.prepared,
        features_folder=args.features,
    )


if __name__ == "__main__":
    cli.run(main)
