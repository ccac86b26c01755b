"""The names and shapes of the parameters of known encoders, as timm and transformers build them, without weights."""

import timm
import torch
import transformers
from timm.layers import SwiGLUPacked

SWIGLU = dict(mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)
SCALED = dict(init_values=1e-5, num_classes=0)


def by_timm(name, **settings):
    return timm.create_model(name, pretrained=False, **settings)


def dinov2(**settings):
    return transformers.Dinov2Model(transformers.Dinov2Config(**settings))


def with_registers(**settings):
    return transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**settings))


LARGE = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
GIANT = dict(hidden_size=1536, num_hidden_layers=40, num_attention_heads=24, use_swiglu_ffn=True)

# The settings are those of the encoders' public configurations (see models/known.toml).
ENCODERS = {
    "UNI": lambda: by_timm("vit_large_patch16_224", **SCALED),
    "UNI2-h": lambda: by_timm(
        "vit_giant_patch14_224", img_size=224, depth=24, num_heads=24, embed_dim=1536, mlp_ratio=2.66667 * 2,
        no_embed_class=True, reg_tokens=8, **SCALED, **SWIGLU,
    ),
    "Virchow": lambda: by_timm("vit_huge_patch14_224", mlp_ratio=5.3375, **SCALED, **SWIGLU),
    "Virchow2": lambda: by_timm("vit_huge_patch14_224", mlp_ratio=5.3375, reg_tokens=4, **SCALED, **SWIGLU),
    "H-optimus-0": lambda: by_timm("vit_giant_patch14_reg4_dinov2", img_size=224, **SCALED),
    "H0-mini": lambda: by_timm("vit_base_patch14_reg4_dinov2", img_size=224, mlp_ratio=5.33334, **SCALED, **SWIGLU),
    "Prov-GigaPath": lambda: by_timm(
        "vit_giant_patch14_dinov2", img_size=224, patch_size=16, embed_dim=1536, depth=40, num_heads=24,
        mlp_ratio=5.33334, **SCALED,
    ),
    "Phikon": lambda: transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False),
    "Phikon-v2": lambda: dinov2(image_size=224, patch_size=16, **LARGE),
    "Hibou-B": lambda: with_registers(image_size=224, patch_size=14, hidden_size=768, num_hidden_layers=12,
                                      num_attention_heads=12),
    "Hibou-L": lambda: with_registers(image_size=224, patch_size=14, **LARGE),
    "Kaiko ViT-S-16": lambda: by_timm("vit_small_patch16_224", num_classes=0),
    "Kaiko ViT-S-8": lambda: by_timm("vit_small_patch8_224", num_classes=0),
    "Kaiko ViT-B-16": lambda: by_timm("vit_base_patch16_224", num_classes=0),
    "Kaiko ViT-B-8": lambda: by_timm("vit_base_patch8_224", num_classes=0),
    "Kaiko ViT-L-14": lambda: by_timm("vit_large_patch14_reg4_dinov2", num_classes=0),
    "Midnight-12k": lambda: dinov2(image_size=224, patch_size=14, **GIANT),
    "DINOv2 ViT-S-14": lambda: dinov2(image_size=518, patch_size=14, hidden_size=384, num_hidden_layers=12,
                                      num_attention_heads=6),
    "DINOv2 ViT-B-14": lambda: dinov2(image_size=518, patch_size=14, hidden_size=768, num_hidden_layers=12,
                                      num_attention_heads=12),
    "DINOv2 ViT-L-14": lambda: dinov2(image_size=518, patch_size=14, **LARGE),
    "DINOv2 ViT-g-14": lambda: dinov2(image_size=518, patch_size=14, **GIANT),
}


def write_shapes(folder):
    folder.mkdir(exist_ok=True)
    for name, build in ENCODERS.items():
        with torch.device("meta"):
            state = build().state_dict()
        lines = [f"{key} {' '.join(map(str, value.shape))}" for key, value in sorted(state.items())]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
