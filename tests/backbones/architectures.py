"""Tiny models of many architectures of transformers with random weights, as folders that save_pretrained wrote."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.projects import WORDS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = len(SPECIAL) + len(WORDS)
WIDTH = 32
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXT = {**SMALL, "vocab_size": TOKENS, "max_position_embeddings": 64}
CAUSAL = {**TEXT, "num_key_value_heads": 1, "head_dim": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
T5 = {"vocab_size": TOKENS, "d_model": WIDTH, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
BART = {
    "vocab_size": TOKENS,
    "d_model": WIDTH,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 3,
    "forced_eos_token_id": None,
}
PICTURE = {**SMALL, "image_size": 32, "patch_size": 8}
TOWER = {**SMALL, "vocab_size": TOKENS, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 3}

Make = Callable[[], Any]


def words(*, special: bool = True, **options: Any) -> Any:
    """A tokenizer of whole words, with [CLS] and [SEP] around a text or without special tokens."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    names: dict[str, Any] = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if special:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, **options})


def processor(kind: str = "ViT", side: int = 32, **options: Any) -> Any:
    sides = {"height": side, "width": side}
    return getattr(transformers, f"{kind}ImageProcessor")(**{"size": sides, **options})


def crop(kind: str, side: int = 32) -> Any:
    return processor(kind, size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def c(name: str, **options: Any) -> Make:
    return lambda: getattr(transformers, f"{name}Config")(**options)


def letters(kind: str) -> Any:
    """A tokenizer of single bytes, of a class that knows its own way to cut texts."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    return getattr(transformers, f"{kind}Tokenizer")(
        vocab=vocabulary, merges=[], unk_token="[UNK]", eos_token="[SEP]", pad_token="[PAD]"
    )


LETTERS = len(SPECIAL) + 256
bare = partial(words, special=False)  # as of GPT-2: no special tokens, and none to pad with

# A configuration, a tokenizer and, if it is not AutoModel's, the class of the model.
TEXTS: dict[str, tuple[Any, ...]] = {
    "bert": (c("Bert", **TEXT), words),
    "roberta": (c("Roberta", **TEXT, pad_token_id=0, type_vocab_size=1), words),
    "xlm-roberta": (c("XLMRoberta", **TEXT, pad_token_id=0, type_vocab_size=1), words),
    "distilbert": (
        c("DistilBert", vocab_size=TOKENS, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=64),
        words,
    ),
    "albert": (c("Albert", **TEXT, embedding_size=16), words),
    "electra": (c("Electra", **TEXT, embedding_size=16), words),
    "deberta": (c("Deberta", **TEXT), words),
    "deberta-v2": (
        c(
            "DebertaV2",
            **TEXT,
            relative_attention=True,
            position_buckets=8,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            type_vocab_size=0,
        ),
        words,
    ),
    "modernbert": (
        c(
            "ModernBert",
            **TEXT,
            pad_token_id=0,
            cls_token_id=2,
            sep_token_id=3,
            bos_token_id=2,
            eos_token_id=3,
            local_attention=8,
            global_attn_every_n_layers=2,
        ),
        words,
    ),
    "xlnet": (
        c("XLNet", vocab_size=TOKENS, d_model=WIDTH, n_layer=2, n_head=2, d_inner=48),
        partial(words, padding_side="left"),
    ),
    "longformer": (c("Longformer", **TEXT, attention_window=[4, 4], pad_token_id=0), words),
    "bigbird": (c("BigBird", **{**TEXT, "max_position_embeddings": 128}, block_size=4, num_random_blocks=1), words),
    "mpnet": (c("MPNet", **TEXT, pad_token_id=1), words),
    "roformer": (c("RoFormer", **TEXT, embedding_size=WIDTH), words),
    "nomic-bert": (c("NomicBert", **TEXT, pad_token_id=0), words),
    "ibert": (c("IBert", **TEXT, pad_token_id=0), words),
    "convbert": (c("ConvBert", **TEXT, embedding_size=WIDTH), words),
    "squeezebert": (c("SqueezeBert", **TEXT, embedding_size=WIDTH), words),
    "funnel": (
        c(
            "Funnel",
            vocab_size=TOKENS,
            d_model=WIDTH,
            n_head=2,
            d_head=16,
            d_inner=48,
            block_sizes=[1, 1],
            block_repeats=[1, 1],
            num_decoder_layers=1,
        ),
        words,
        "FunnelModel",
    ),
    "funnel-base": (
        c(
            "Funnel",
            vocab_size=TOKENS,
            d_model=WIDTH,
            n_head=2,
            d_head=16,
            d_inner=48,
            block_sizes=[1, 1],
            block_repeats=[1, 1],
            num_decoder_layers=1,
        ),
        words,
        "FunnelBaseModel",
    ),
    "nystromformer": (c("Nystromformer", **TEXT, num_landmarks=8, segment_means_seq_len=8), words),
    "reformer": (
        c(
            "Reformer",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            num_attention_heads=2,
            attention_head_size=16,
            feed_forward_size=48,
            axial_pos_shape=[8, 8],
            axial_pos_embds_dim=[16, 16],
            attn_layers=["local", "lsh"],
            max_position_embeddings=64,
            num_buckets=4,
            lsh_attn_chunk_length=8,
            local_attn_chunk_length=8,
            is_decoder=True,
        ),
        words,
    ),
    "perceiver": (
        c(
            "Perceiver",
            vocab_size=TOKENS,
            d_model=WIDTH,
            num_latents=4,
            d_latents=32,
            max_position_embeddings=64,
            num_self_attends_per_block=1,
            num_self_attention_heads=2,
            num_cross_attention_heads=2,
        ),
        words,
    ),
    "gpt2": (
        c("GPT2", vocab_size=TOKENS, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64, bos_token_id=3, eos_token_id=3),
        partial(bare, eos_token="[SEP]"),
    ),
    "gpt-neox": (c("GPTNeoX", **TEXT, bos_token_id=2, eos_token_id=3), bare),
    "opt": (
        c(
            "OPT",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            word_embed_proj_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=48,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        ),
        words,
    ),
    "bloom": (
        c(
            "Bloom",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            n_layer=2,
            n_head=2,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ),
        words,
    ),
    "llama": (c("Llama", **CAUSAL), bare),
    "qwen2": (c("Qwen2", **{**CAUSAL, "vocab_size": LETTERS}), partial(letters, "Qwen2")),
    "qwen3": (c("Qwen3", **CAUSAL), partial(words, padding_side="left")),
    "gemma": (c("Gemma", **CAUSAL), words),
    "gemma3-text": (c("Gemma3Text", **CAUSAL, sliding_window=8), words),
    "mistral": (c("Mistral", **CAUSAL, sliding_window=8), bare),
    "mixtral": (c("Mixtral", **CAUSAL, num_local_experts=2), bare),
    "phi3": (c("Phi3", **CAUSAL), bare),
    "recurrent-gemma": (c("RecurrentGemma", **CAUSAL, attention_window_size=8, lru_width=WIDTH), bare),
    "falcon": (
        c("Falcon", vocab_size=TOKENS, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2),
        bare,
    ),
    "mamba": (
        c(
            "Mamba",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            state_size=8,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        ),
        bare,
    ),
    "mamba2": (
        c(
            "Mamba2",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            state_size=8,
            num_heads=4,
            head_dim=16,
            n_groups=1,
            chunk_size=8,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        ),
        bare,
    ),
    "rwkv": (
        c(
            "Rwkv",
            vocab_size=TOKENS,
            hidden_size=WIDTH,
            attention_hidden_size=WIDTH,
            num_hidden_layers=2,
            context_length=64,
        ),
        bare,
    ),
    "t5": (c("T5", **T5, pad_token_id=0, eos_token_id=3), words),
    "t5-encoder": (c("T5", **T5, pad_token_id=0, eos_token_id=3), words, "T5EncoderModel"),
    "mt5": (c("MT5", **T5, pad_token_id=0, eos_token_id=3), words),
    "umt5": (c("UMT5", **T5, pad_token_id=0, eos_token_id=3), words),
    "byt5": (c("T5", **{**T5, "vocab_size": 384}, pad_token_id=0, eos_token_id=1), transformers.ByT5Tokenizer),
    "bart": (c("Bart", **BART), words),
    "mbart": (c("MBart", **BART), words),
    "pegasus": (c("Pegasus", **BART), words),
    "m2m100": (c("M2M100", **BART), words),
    "led": (
        c(
            "LED",
            **{k: v for k, v in BART.items() if k != "max_position_embeddings"},
            max_encoder_position_embeddings=64,
            max_decoder_position_embeddings=64,
            attention_window=[4, 4],
        ),
        words,
    ),
    "canine": (
        c("Canine", **{**TEXT, "max_position_embeddings": 256}, local_transformer_stride=16, num_hash_buckets=64),
        transformers.CanineTokenizer,
    ),
    "fnet": (c("FNet", **{k: v for k, v in TEXT.items() if k != "num_attention_heads"}, pad_token_id=0), words),
    "clip-text": (c("CLIP", text_config=TOWER, vision_config=PICTURE), words),
    "siglip-text": (c("Siglip", text_config=TOWER, vision_config=PICTURE), words),
    "blip-text": (c("Blip", text_config={**TOWER, "encoder_hidden_size": WIDTH}, vision_config=PICTURE), words),
    "dpr": (c("DPR", **TEXT), words),
    "layoutlm": (c("LayoutLM", **TEXT, max_2d_position_embeddings=64), words),
    "whisper-text": (
        c(
            "Whisper",
            **{k: v for k, v in BART.items() if k != "max_position_embeddings"},
            num_mel_bins=8,
            max_source_positions=32,
            max_target_positions=64,
        ),
        words,
    ),
    "vit-as-text": (c("ViT", **PICTURE), words),
}
IMAGES: dict[str, tuple[Any, ...]] = {
    "vit": (c("ViT", **PICTURE), processor),
    "deit": (c("DeiT", **PICTURE), partial(crop, "DeiT")),
    "beit": (c("Beit", **PICTURE, use_relative_position_bias=True), partial(processor, "Beit")),
    "dinov2": (c("Dinov2", **PICTURE), partial(crop, "Bit")),
    "dinov2-registers": (c("Dinov2WithRegisters", **PICTURE), partial(crop, "Bit")),
    "dinov3": (c("DINOv3ViT", **PICTURE), partial(processor, "DINOv3ViT")),
    "clip": (c("CLIP", text_config=TOWER, vision_config=PICTURE), partial(crop, "CLIP")),
    "siglip": (c("Siglip", text_config=TOWER, vision_config=PICTURE), partial(processor, "Siglip")),
    "blip": (
        c("Blip", text_config={**TOWER, "encoder_hidden_size": WIDTH}, vision_config=PICTURE),
        partial(processor, "Blip"),
    ),
    "convnext": (c("ConvNext", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]), processor),
    "convnextv2": (c("ConvNextV2", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]), processor),
    "swin": (
        c("Swin", image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
        processor,
    ),
    "swinv2": (
        c("Swinv2", image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
        processor,
    ),
    "hgnet-v2": (
        c(
            "HGNetV2",
            stem_channels=[3, 8, 8],
            stage_in_channels=[8, 8, 16, 16],
            stage_mid_channels=[8, 8, 8, 8],
            stage_out_channels=[8, 16, 16, 24],
            stage_num_blocks=[1, 1, 1, 1],
            stage_numb_of_layers=[1, 1, 1, 1],
        ),
        processor,
    ),
    "siglip2": (
        c("Siglip2", text_config=TOWER, vision_config={**PICTURE, "num_patches": 16}),
        partial(processor, "Siglip"),
    ),
    "resnet": (c("ResNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]), partial(crop, "Bit")),
    "regnet": (c("RegNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=8), processor),
    "mobilenet-v1": (c("MobileNetV1", depth_multiplier=0.25), partial(crop, "MobileNetV1")),
    "mobilenet-v2": (c("MobileNetV2", depth_multiplier=0.25), partial(crop, "MobileNetV2")),
    "mobilevit": (
        c(
            "MobileViT",
            image_size=64,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 8, 16, 24, 32, 48],
            num_attention_heads=2,
        ),
        partial(crop, "MobileViT", 64),
    ),
    "efficientnet": (
        c("EfficientNet", image_size=64, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320),
        partial(processor, "EfficientNet", 64),
    ),
    "levit": (
        c(
            "Levit",
            image_size=64,
            hidden_sizes=[16, 24, 32],
            num_attention_heads=[2, 2, 2],
            depths=[1, 1, 1],
            key_dim=[8, 8, 8],
        ),
        partial(crop, "Levit", 64),
    ),
    "poolformer": (c("PoolFormer", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]), processor),
    "pvt": (
        c("Pvt", image_size=32, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2]),
        processor,
    ),
    "segformer": (
        c("Segformer", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2]),
        partial(processor, "Segformer"),
    ),
    "hiera": (
        c(
            "Hiera",
            image_size=[64, 64],
            embed_dim=8,
            depths=[1, 1],
            num_heads=[1, 2],
            query_stride=[2, 2],
            num_query_pool=1,
            masked_unit_size=[4, 4],
        ),
        partial(processor, side=64),
    ),
    "focalnet": (
        c(
            "FocalNet",
            image_size=32,
            patch_size=4,
            embed_dim=8,
            hidden_sizes=[8, 16],
            depths=[1, 1],
            focal_levels=[1, 1],
            focal_windows=[3, 3],
        ),
        processor,
    ),
    "data2vec-vision": (c("Data2VecVision", **PICTURE), partial(processor, "Beit")),
    "ijepa": (c("IJepa", **PICTURE), processor),
    "vit-mae": (c("ViTMAE", **PICTURE), processor),
    "vit-msn": (c("ViTMSN", **PICTURE), processor),
    "yolos": (c("Yolos", **{**PICTURE, "image_size": [32, 32]}, num_detection_tokens=4), processor),
    "detr": (
        c(
            "Detr",
            backbone_config=transformers.ResNetConfig(
                embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"]
            ),
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            num_queries=4,
        ),
        processor,
    ),
    "sam": (
        c(
            "Sam",
            vision_config={
                **PICTURE,
                "mlp_dim": 48,
                "output_channels": 16,
                "window_size": 2,
                "global_attn_indexes": [1],
            },
        ),
        processor,
    ),
    "wav2vec2-as-image": (
        c(
            "Wav2Vec2",
            **SMALL,
            conv_dim=[8, 8],
            conv_stride=[2, 2],
            conv_kernel=[3, 3],
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        ),
        processor,
    ),
    "bert-as-image": (c("Bert", **TEXT), processor),
}


def make(folder: Path, name: str, *, layers: int = 2) -> Path:
    """Write the folder of a model of `TEXTS` or `IMAGES`.

    Args:
        layers: 1 is for models of texts whose layers are all of one kind.
    """
    make_config, preprocessing, *architecture = (TEXTS | IMAGES)[name]
    torch.manual_seed(0)
    kind = getattr(transformers, architecture[0]) if architecture else None
    config = make_config()
    if layers == 1:
        getattr(config, "text_config", config).num_hidden_layers = 1
    body = kind(config) if kind else transformers.AutoModel.from_config(config)
    _normalize(body)
    body.save_pretrained(folder)
    preprocessing().save_pretrained(folder)
    return folder


def _normalize(body: Any) -> None:
    """Draw larger weights, and set running statistics; else the values of a deep random network are 0."""
    has_statistics = False
    for module in body.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
            module.momentum, has_statistics = 1.0, True
    if has_statistics:
        with torch.no_grad():
            body.train()(torch.randn(8, 3, 64, 64))
        body.eval()


def plain(folder: Path, name: str) -> Any:
    """Load the encoder by transformers alone."""
    _, _, *architecture = (TEXTS | IMAGES)[name]
    model = getattr(transformers, architecture[0] if architecture else "AutoModel").from_pretrained(folder).eval()
    if name == "t5-encoder" or (name in TEXTS and model.config.is_encoder_decoder):
        return model.encoder
    towers = ("text_model",) if name in TEXTS else ("vision_model", "vision_encoder")
    return next((getattr(model, tower) for tower in towers if hasattr(model, tower)), model)
