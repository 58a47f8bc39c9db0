"""What loads a text encoder without transformers, beside the model's files; see light_text.py. Imports no torch."""

from stages.backbones.recipe import File, Recipe


class Facts(File):
    """What transformers knows of a tokenizer beside the content of tokenizer.json."""

    model_input_names: tuple[str, ...]
    truncation_side: str
    pad_token_id: int
    pad_token_type_id: int
    unk_token_id: int | None
    eos_token_id: int | None
    bos_token_id: int | None
    cls_token_id: int | None


class Traits(File):
    """The fields of `text_traits.TextTraits` but for its options, of which the light network has none."""

    inputs: tuple[str, ...]
    dim: int
    can_pad: bool
    min_tokens: int


class Light(File):
    """All that `light_text.load` needs."""

    facts: Facts
    traits: Traits
    recipe: Recipe
