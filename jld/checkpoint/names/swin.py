"""Swin transformers' own classification files, and the backbones of detectors that spell names like them."""

from __future__ import annotations

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules

DROPS: Rules = (
    (r"^(head|norm)\.", "ImageNet classifier and the normalisation before it"),
    (r"\.(relative_position_index|attn_mask)$", "constant that our backbone computes"),
)
RENAMES: Rules = ((r"^(patch_embed|layers|norm\d)\.", r"backbone.\1."),)


def detect(state: State) -> float:
    """How surely the names are a Swin transformer's, 0 to 1."""
    is_swin = "patch_embed.proj.weight" in state and "layers.0.blocks.0.attn.qkv.weight" in state
    return 0.9 if is_swin else 0.0


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)
