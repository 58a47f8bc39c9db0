"""Serve: classify over HTTP with a trained head or a fine-tuned model.

    python -m stages.serve data/head
    curl -H 'Content-Type: application/json' -d '{"inputs": ["great book", "does not boil"]}' localhost:8000/predict

POST /predict takes texts, pairs of texts or pictures, as JSON or as a form, and gives what predict gives. The page at /
shows for a text or a picture what decided, and the training rows that are most like it. /docs describes all paths,
/healthz and /metrics are for those who run it. A new model in the folder takes its turn when it is complete.

Listens on this machine alone. For others, name --host and set the environment variable HEADSTART_API_KEY to a key that
requests must carry: predictions and training rows are not for everybody in a network. See stages/serving/README.md.
"""

from functools import partial
from pathlib import Path

from stages.common import cli, heap, run_stats
from stages.common.errors import HeadstartError, counted
from stages.common.params import RuntimeParams
from stages.prediction.own_words import in_own_words

PORT = 8000


def serve(
    *,
    folder: Path,
    host: str,
    port: int,
    names: list[str],
    params_file: Path,
    features_folder: Path,
    prepared_folder: Path,
) -> None:
    """Serve the model in `folder` until Ctrl+C or SIGTERM.

    Args:
        port: 0 takes a free one.
        names: by which clients reach the server, beside `localhost` and addresses.
        params_file: says from where a prediction counts as sure; it need not be there.
        features_folder, prepared_folder: of the training rows; the page leaves these out without them.

    Raises:
        HeadstartError: FastAPI is missing, `folder` holds no model, host or port cannot be used, or there is no key
            although others reach the host.
    """
    try:
        from stages.serving import access, running, server
        from stages.serving.classifying import Classifying
        from stages.serving.metrics import Metrics
        from stages.serving.served_model import ServedModels, load
        from stages.web.listening import address, is_loopback, listening
    except ImportError as error:
        raise HeadstartError(
            f"the server needs the package {error.name}; run `pip install -e '.[serve]'`, or use `stages.predict`"
        ) from None
    heap.share()
    with listening(host, port) as listener:
        key = access.environment_key(host, is_loopback=is_loopback(listener))
        metrics, tables = Metrics(), (features_folder, prepared_folder)
        load_now = partial(load, folder, *tables, params_file=params_file, runtime=RuntimeParams())
        models = ServedModels(folder, load_now, observe=metrics.observe_reload)
        classifying = Classifying(models, metrics)
        app = server.application(classifying, metrics, key=key, names=names)
        models.start()
        sentences = [f"{folder} at {address(listener)} (Ctrl+C ends it)"]
        if problem := models.current.no_training_rows:
            sentences.append(f"the page shows no training rows: {in_own_words(problem)}")
        running.run(app, listener, lambda: print(*map("serve: {}".format, sentences), sep="\n", flush=True))
        classifying.batcher.close()
    print(f"serve: {counted(metrics.row_count(), 'row')} answered in {run_stats.spent()}")


def main() -> None:
    default = "(default: %(default)s)"
    args = cli.arguments(
        __doc__,
        model="folder that train_head or finetune wrote",
        options={
            "--host": {"default": "127.0.0.1", "help": f"address to listen on {default}"},
            "--port": {"type": int, "default": PORT, "help": f"0 takes a free one {default}"},
            "--name": {
                "action": "append",
                "default": [],
                "help": "a name that clients use, such as models.example.org",
            },
            "--prepared": {"type": Path, "default": Path("data/prepared"), "help": f"of the training rows {default}"},
            "--features": {"type": Path, "default": Path("data/features"), "help": f"of the training rows {default}"},
        },
    )
    try:
        serve(
            folder=args.model,
            host=args.host,
            port=args.port,
            names=args.name,
            params_file=args.params,
            features_folder=args.features,
            prepared_folder=args.prepared,
        )
    except HeadstartError as error:
        raise HeadstartError(in_own_words(str(error))) from None


if __name__ == "__main__":
    cli.run(main)
