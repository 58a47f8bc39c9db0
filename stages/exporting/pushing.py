"""Push an exported folder to the Hugging Face hub, as one commit of a model repository."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stages.common.errors import HeadstartError, one_line

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
REFUSALS = {  # what the hub says by a status, and what to do
    401: f"it does not accept the token; {LOG_IN} to a token that may write",
    403: "the token may not write there; use one that may, and an OWNER that is you or your organisation",
    404: "there is no such repository for this token; correct the name, or use a token that may write there",
}


def repository(destination: str) -> str:
    """Check, before any work, that `destination` is hf:OWNER/NAME and that there is a token; return OWNER/NAME.

    Raises:
        HeadstartError: it is not, or there is none.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    name = destination.removeprefix("hf:")
    try:
        validate_repo_id(name)
        is_valid = destination.startswith("hf:") and re.fullmatch(r"[^/]+/[^/]+", name) is not None
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise HeadstartError(f"--push is {destination!r}, but must be hf:OWNER/NAME, such as hf:me/intents")
    if constants.HF_HUB_OFFLINE:
        raise HeadstartError("--push needs the hub, but HF_HUB_OFFLINE is set; unset it, or leave out --push")
    if get_token() is None:
        raise HeadstartError(f"--push needs a token of the hub at {constants.ENDPOINT}; {LOG_IN}")
    return name


def push(folder: Path, files: Sequence[str], name: str, *, is_public: bool) -> str:
    """Upload the files of an exported folder, and no others; return the repository's address, and who sees it.

    Args:
        files: paths in the folder.
        name: OWNER/NAME; a repository that exists gets one more commit, and stays as private or public as it is.
        is_public: whether a new repository is.

    Raises:
        HeadstartError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants

    additions = [CommitOperationAdd(path_in_repo=file, path_or_fileobj=folder / file) for file in files]
    api = HfApi(endpoint=constants.ENDPOINT)
    with _hub_errors(name, folder):
        address = str(api.create_repo(name, private=not is_public, exist_ok=True))
        api.create_commit(name, additions, commit_message="Export of Headstart")
        is_private = api.model_info(name).private
    return f"{address} ({'private' if is_private else 'public'})"


@contextmanager
def _hub_errors(name: str, folder: Path) -> Iterator[None]:
    """Turn the errors of the hub's client, whose HTTP library differs between versions, into one sentence."""
    from huggingface_hub import constants

    try:
        yield
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = REFUSALS.get(status or 0, f"{one_line(error)}; check the network, and run it again")
        raise HeadstartError(
            f"{folder} is written, but cannot be pushed to {name} at {constants.ENDPOINT}: {reason}"
        ) from None
