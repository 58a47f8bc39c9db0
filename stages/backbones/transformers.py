"""Encoders of the transformers library: BERT and whatever else AutoModel can load.

A text becomes one vector by pooling the last layer's token vectors (Reimers and Gurevych 2019, Sentence-BERT, for
mean pooling).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
import transformers
from torch import Tensor, nn

from stages.backbones import fingerprint, hub
from stages.errors import HeadstartError
from stages.params import BackboneParams, ExtractParams, RuntimeParams

# Padded tokens: few enough for a CPU's caches, enough to keep the cores of an accelerator busy.
TOKENS_PER_BATCH_CPU = 1_024
TOKENS_PER_BATCH_ACCELERATOR = 32_768
# Tensors of a fine-tuned model that belong to the classifier layer, not to the encoder.
CLASSIFIER_PREFIX = "classifier."

Batch = dict[str, Tensor]


class TextEncoder(nn.Module):
    """A tokenizer, an encoder and a pooling: texts in, vectors out."""

    is_sparse = False

    def __init__(
        self, body: Any, tokenizer: Any, settings: ExtractParams, *, fingerprint: str = "", name: str = ""
    ) -> None:
        super().__init__()
        self.body = body
        self.tokenizer = tokenizer
        self.settings = settings
        self.fingerprint = fingerprint
        self.name = name
        self.dim: int = body.config.hidden_size

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def tokenize(self, texts: Sequence[str]) -> list[dict[str, list[int]]]:
        """Token ids of each text, cut at `extract.max_length`, not padded."""
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.settings.max_length)
        return [{name: values[row] for name, values in tokens.items()} for row in range(len(texts))]

    def collate(self, rows: Sequence[dict[str, list[int]]], length: int | None = None) -> Batch:
        """Pad rows to `length`, or to the longest of them: tensors of (rows, length)."""
        padded = self.tokenizer.pad(
            {name: [row[name] for row in rows] for name in rows[0]},
            padding="max_length" if length else "longest",
            max_length=length,
            return_tensors="pt",
        )
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in padded.items()}

    def forward(self, batch: Batch) -> Tensor:
        """Vectors of a padded batch: (rows, dim)."""
        hidden = self.body(**batch).last_hidden_state  # (rows, length, dim)
        mask = batch["attention_mask"].unsqueeze(-1).bool()  # (rows, length, 1)
        if self.settings.pooling == "cls":
            vectors = hidden[:, 0]
        elif self.settings.pooling == "max":
            vectors = hidden.masked_fill(~mask, -torch.inf).amax(dim=1)
        else:
            vectors = hidden.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
        return nn.functional.normalize(vectors, dim=1) if self.settings.normalize else vectors

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Batch]]:
        """Cut texts into batches of one padded length each: (positions in `texts`, batch).

        A vector depends on the padded length (float32 round-off), not on the rows beside it. So that length is a
        function of the row's own tokens, and a row gets the same vector in every table.
        """
        rows = self.tokenize(texts)
        lengths = [padded_length(len(row["input_ids"]), self.settings.max_length) for row in rows]
        tokens = TOKENS_PER_BATCH_CPU if self.device.type == "cpu" else TOKENS_PER_BATCH_ACCELERATOR
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            end = start
            while end < len(order) and lengths[order[end]] == length and end - start < max(tokens // length, 1):
                end += 1
            yield order[start:end], self.collate([rows[row] for row in order[start:end]], length)
            start = end

    def encode(self, inputs: Sequence[str]) -> np.ndarray:
        """Vectors of texts, in their order: (texts, dim) float32."""
        out = np.empty((len(inputs), self.dim), dtype=np.float32)
        self.eval()
        with torch.inference_mode():
            for positions, batch in self.batches(inputs):
                out[positions] = self(batch).float().cpu().numpy()
        return out

    def save(self, folder: Path) -> None:
        """Nothing to keep: name, revision and weights bring the encoder back."""


def load(spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams) -> TextEncoder:
    """Load tokenizer and encoder, in float32, on the device of `runtime`.

    Raises:
        HeadstartError: see `hub.resolve`; or the folder holds no encoder, its weights do not fit, or
            `extract.max_length` is more than the encoder can take.
    """
    folder, commit = hub.resolve(spec.name, spec.revision)
    config, tokenizer = _configuration(folder, spec.name)
    limit = _max_length(config, tokenizer)
    if settings.max_length > limit:
        raise HeadstartError(
            f"extract.max_length is {settings.max_length}, but {spec.name} takes at most {limit} tokens"
        )
    if spec.weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body = transformers.AutoModel.from_config(config, dtype=torch.float32)
        weights = "random, seed 0"
    elif spec.weights == "pretrained":
        files = hub.weight_files(folder)
        body = _pretrained(folder, config, spec.name)
        weights = fingerprint.of_parts(files=[fingerprint.of_file(path) for path in files])
    else:
        path = Path(spec.weights)
        body = _pretrained(None, config, spec.weights, _state_dict(path))
        weights = fingerprint.of_parts(files=[fingerprint.of_file(path)])
    if getattr(config, "is_encoder_decoder", False):
        body = body.get_encoder()
    digest = fingerprint.of_parts(
        family=spec.family,
        name=spec.name,
        revision=commit,
        weights=weights,
        config=_canonical(folder / "config.json"),
        tokenizer=[_canonical(path) for path in sorted(folder.glob("*token*.json"))],
        pooling=settings.pooling,
        max_length=settings.max_length,
        normalize=settings.normalize,
        dtype=settings.dtype,
    )
    encoder = TextEncoder(body, tokenizer, settings, fingerprint=digest, name=spec.name)
    return encoder.to(device(runtime)).eval()


def load_finetuned(
    folder: Path, settings: ExtractParams, runtime: RuntimeParams
) -> tuple[TextEncoder, dict[str, Tensor]]:
    """Load what `save_finetuned` wrote: the encoder and the state of its classifier layer."""
    config, tokenizer = _configuration(folder, str(folder))
    body = _pretrained(folder, config, str(folder))
    with safetensors.safe_open(folder / "model.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(CLASSIFIER_PREFIX)]  # noqa: SIM118 (not a dict)
        classifier = {name.removeprefix(CLASSIFIER_PREFIX): file.get_tensor(name) for name in names}
    return TextEncoder(body, tokenizer, settings).to(device(runtime)).eval(), classifier


def save_finetuned(folder: Path, encoder: TextEncoder, classifier: nn.Linear) -> None:
    """Write weights, config and tokenizer, so that AutoModel can load the folder too."""
    encoder.body.config.name_or_path = encoder.name
    encoder.body.config.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    state = {name: tensor.cpu().contiguous() for name, tensor in encoder.body.state_dict().items()}
    state |= {CLASSIFIER_PREFIX + name: tensor.cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    # Not save_file: it makes the file readable for its owner alone.
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))


def device(runtime: RuntimeParams) -> torch.device:
    """The device of `runtime.device`; `auto` takes an accelerator where there is one."""
    if runtime.device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    wanted = torch.device(runtime.device)
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError):
        raise HeadstartError(
            f"runtime.device is {runtime.device!r}, which this machine does not have; use auto or cpu"
        ) from None
    return wanted


def padded_length(tokens: int, max_length: int) -> int:
    """Tokens rounded up to a step that grows with them: exact below 32, at most 1/16 of padding above."""
    step = 1 << max(tokens.bit_length() - 5, 0)
    return min(-(-tokens // step) * step, max_length)


def _configuration(folder: Path, name: str) -> tuple[Any, Any]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise HeadstartError(
            f"{folder} holds no config.json; backbone.name must be a folder that save_pretrained wrote"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a folder of anything: whatever transformers makes of it is told to the user
        raise _unloadable(name, error) from None
    if not getattr(tokenizer, "vocab_size", 0):
        raise HeadstartError(f"{name} has no tokenizer; add its tokenizer.json to {folder}")
    tokenizer.padding_side = "right"  # the first token is the first column, as cls pooling expects
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return config, tokenizer


def _pretrained(folder: Path | None, config: Any, name: str, state: dict[str, Tensor] | None = None) -> Any:
    """The encoder with all of its weights, from `folder` or from `state`.

    A weight that is missing is an error, not a random number.
    """
    try:
        with torch.device("meta"):
            architecture = type(transformers.AutoModel.from_config(config))
        body, report = architecture.from_pretrained(
            folder,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise _unloadable(name, error) from None
    # Vectors are pooled here; a checkpoint trained on masked words has no pooler of its own.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        listed = ", ".join(missing[:5]) + (" …" if missing[5:] else "")
        raise HeadstartError(f"the weights of {name} lack {listed}; they do not fit its config.json")
    return body


def _state_dict(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors" or not path.is_file():
        raise HeadstartError(
            f"backbone.weights is {str(path)!r}, but must be pretrained, random or a .safetensors file that exists"
        )
    try:
        state = safetensors.torch.load_file(path)
    except Exception as error:
        raise HeadstartError(f"{path} is not a safetensors file ({error}); write it again") from None
    return {name: tensor for name, tensor in state.items() if not name.startswith(CLASSIFIER_PREFIX)}


def _max_length(config: Any, tokenizer: Any) -> int:
    """The smaller of what tokenizer and position table say; unset ones are absurdly large."""
    positions: Any = getattr(config, "max_position_embeddings", None) or 10**9
    return int(min(tokenizer.model_max_length, positions))


def _canonical(path: Path) -> str:
    """A JSON file without what differs between copies of one model: layout, and the version that wrote it."""
    content = json.loads(path.read_text("utf-8"))
    for key in ("transformers_version", "_name_or_path", "name_or_path"):
        content.pop(key, None)
    return json.dumps(content, sort_keys=True)


def _unloadable(name: str, error: Exception) -> HeadstartError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return HeadstartError(f"{name} cannot be loaded as an encoder by transformers ({reason})")
