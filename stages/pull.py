"""Pull: get the outputs that dvc.lock names from the remote, and check them before a file is written.

    python -m stages.pull [OUTPUT ...]

Use it in place of `dvc pull`, which checks the content of files but believes the remote's list of the files in a
folder: whoever may write the remote can make DVC 3.67 write any file on this machine. Here every list and file must
have the hash that dvc.lock (or a .dvc file) names, whatever the remote's setting `verify`.

OUTPUT is an output of the pipeline, or a folder that holds outputs; without one, all are pulled. An output that the
remote lacks, or has with other content, stays in the workspace as it is, and the exit code is 1.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.common import cli
from stages.common.errors import HeadstartError, counted, did_you_mean, listed, one_line

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo


class _RefusedError(Exception):
    """An output cannot be pulled; the message says why."""


def pull(repo: "Repo", names: list[str]) -> None:
    """Get outputs into the workspace, and print how many are there.

    Raises:
        HeadstartError: a name is not an output; or, once all others are there, an output cannot be pulled.
    """
    outs = _outputs(repo, names)
    copied = 0
    refused: dict[str, list[str]] = {}
    for out in outs:
        try:
            copied += _pull(repo, out)
        except _RefusedError as error:
            refused.setdefault(str(error), []).append(str(out))
    lacking = [f"{listed(paths)} ({reason})" for reason, paths in refused.items()]
    in_place = len(outs) - sum(map(len, refused.values()))
    print(f"pull: {in_place} of {counted(len(outs), 'output')} in place, {counted(copied, 'file')} from the remote")
    if lacking:
        raise HeadstartError(
            f"not pulled: {'; '.join(lacking)}; run `dvc repro` to compute what is missing, or ask for a `dvc push`"
        )


def _outputs(repo: "Repo", names: list[str]) -> list["Output"]:
    """Return the outputs with these names, or in folders with these names; without names, all that have a hash."""
    outs = [out for stage in repo.index.stages for out in stage.outs if out.use_cache and out.hash_info]
    if not names:
        return outs
    chosen = []
    for name in names:
        inside = [out for out in outs if Path(out.fs_path).is_relative_to(Path(name).absolute())]
        if not inside:
            known = [str(out) for out in outs]
            raise HeadstartError(
                f"dvc.lock has no output {name}{did_you_mean(name, known)}; it has {listed(known) or 'none'}"
            )
        chosen += inside
    return list(dict.fromkeys(chosen))


def _pull(repo: "Repo", out: "Output") -> int:
    """Get one output into the workspace; return the number of files that came from the remote.

    Raises:
        _RefusedError: the remote lacks it or has other content, or the workspace has changes that nothing else holds.
    """
    from dvc.exceptions import ConfirmRemoveError, DvcException

    try:
        copied = _get(repo, out, [out.hash_info.value])
        if out.hash_info.isdir:
            copied = _get(repo, out, _list(out))
        out.checkout()
    except ConfirmRemoveError:
        raise _RefusedError("it has changes here; delete it, or keep them with `dvc commit`") from None
    except DvcException as error:
        raise _RefusedError(one_line(error)) from None
    return copied


def _get(repo: "Repo", out: "Output", hashes: list[str]) -> int:
    """Copy objects that DVC's cache lacks from the remote into it; return their number."""
    cache: Any = out.cache
    lacking = sorted(set(hashes) - set(cache.oids_exist(hashes)))
    if not lacking:
        return 0
    source: Any = repo.cloud.get_remote_odb(out.remote, "pull", hash_name=out.hash_name)
    errors: dict[str, BaseException] = {}
    try:
        cache.add(
            [source.oid_to_path(name) for name in lacking],
            source.fs,
            lacking,
            verify=True,  # files with another hash are deleted
            on_error=errors.__setitem__,
            batch_size=source.fs.jobs,
        )
    except Exception as error:  # every kind of remote raises its own
        raise _RefusedError(f"the remote cannot be read: {one_line(error)}") from None
    for name in sorted(set(lacking) - set(cache.oids_exist(lacking))):
        if name not in errors:
            raise _RefusedError(f"the remote has other content under its hash {name}")
        if isinstance(errors[name], FileNotFoundError):
            raise _RefusedError(f"the remote lacks its hash {name}")
        raise _RefusedError(f"the remote cannot be read: {one_line(errors[name])}")
    return len(lacking)


def _list(out: "Output") -> list[str]:
    """Return the hashes of the files in a folder, from its list in DVC's cache."""
    name = out.hash_info.value
    content = Path(out.cache.oid_to_path(name)).read_bytes()
    # An unchecked `dvc fetch` may have put it there.
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != name.removesuffix(".dir"):
        raise _RefusedError(f"DVC's cache has other content under its hash {name}")
    entries = json.loads(content)
    for path in (Path(entry["relpath"]) for entry in entries):
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise _RefusedError(f"it lists {path}, which is outside of it")
    return [entry["md5"] for entry in entries]


def main() -> None:
    args = cli.arguments(
        __doc__,
        with_params=False,
        options={"outputs": {"nargs": "*", "metavar": "OUTPUT", "help": "such as data/head; without one, all"}},
    )
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo() as repo, lock_repo(repo):
            pull(repo, args.outputs)
    except DvcException as error:
        raise HeadstartError(one_line(error)) from None


if __name__ == "__main__":
    cli.run(main)
