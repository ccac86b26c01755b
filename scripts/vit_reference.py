"""Write what timm, transformers and open_clip answer with small vision transformers of random weights, and the names and
shapes of the parameters of known encoders: reference values for the tests of crates/histokin-encoder/src/vit_weights.rs.

    scripts/vit_venv.sh
    target/python-vit/bin/python scripts/vit_reference.py

Images come from a formula that the test repeats. No weights of others are used.
"""

import json
import pathlib
import sys

import open_clip
import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from vit_shapes import write_shapes

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/histokin-encoder/tests/fixtures/vit"


def image(height, width):
    """Return a normalised image by an integer formula, [1, 3, height, width]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    channels = [(x * x + 3 * y) % 256, (5 * x + y * y) % 256, (x * y + 7 * x) % 256]
    return (torch.stack(channels)[None].float() / 255 - 0.5) / 0.25


@torch.no_grad()
def randomise(model, seed):
    """Fill every parameter so that all of them matter to the answer."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if parameter.dim() >= 2 and not any(part in name for part in ("token", "pos", "embedding")):
            values = noise / parameter[0].numel() ** 0.5
        elif "gamma" in name or "lambda" in name:
            values = 0.5 + 0.2 * noise
        elif parameter.dim() == 1 and name.endswith("weight"):
            values = 1 + 0.2 * noise
        else:
            values = 0.3 * noise
        parameter.copy_(values)
    return model.eval()


class Cases:
    """The fixtures: a file of weights each, and for each size of an image the answer."""

    def __init__(self):
        self.cases, self.answers = [], {}

    @torch.no_grad()
    def add(self, name, file, answer, sizes, **settings):
        for size in sizes:
            self.answers[f"{name} {size}"] = answer(image(size, size))[0].float().contiguous()
        self.cases.append({"name": name, "file": file, "sizes": sizes, "settings": settings})

    def write(self):
        save_file(self.answers, OUT / "answers.safetensors")
        text = json.dumps(self.cases, indent=1)
        (OUT / "cases.json").write_text(text + "\n")


def save(state, file):
    save_file({name: value.contiguous() for name, value in state.items()}, OUT / file)


def of_timm(cases):
    small = dict(embed_dim=32, depth=2, num_heads=4, num_classes=0, dynamic_img_size=True)
    swiglu = dict(mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=16 / 3)

    plain = randomise(VisionTransformer(img_size=32, patch_size=8, **small), 1)
    save(plain.state_dict(), "timm_plain.safetensors")
    cases.add("timm plain", "timm_plain.safetensors", plain, [32, 48, 24], heads=4)
    for kind, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16)]:
        state = {name: value.to(dtype) for name, value in plain.state_dict().items()}
        torch.save(state, OUT / f"timm_plain_{kind}.bin")
        rounded = VisionTransformer(img_size=32, patch_size=8, **small).eval()
        rounded.load_state_dict({name: value.float() for name, value in state.items()})
        cases.add(f"timm {kind}", f"timm_plain_{kind}.bin", rounded, [32], heads=4)

    model = VisionTransformer(
        img_size=56, patch_size=14, init_values=1e-5, reg_tokens=3, no_embed_class=True, **small, **swiglu
    )
    randomise(model, 2)
    save({f"module.backbone.{name}": value for name, value in model.state_dict().items()}, "timm_registers.safetensors")
    cases.add("timm registers without positions, SwiGLU", "timm_registers.safetensors", model, [56, 84], heads=4)

    model = VisionTransformer(
        img_size=32, patch_size=8, init_values=1e-5, reg_tokens=4, global_pool="", **small, **swiglu
    )
    randomise(model, 3)
    save(model.state_dict(), "timm_register_positions.safetensors")

    def class_and_mean(x):
        tokens = model(x)
        return torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1)

    cases.add(
        "timm registers with positions, class and mean", "timm_register_positions.safetensors", class_and_mean, [32, 48],
        heads=4, output="class_and_mean",
    )

    model = VisionTransformer(img_size=32, patch_size=8, class_token=False, global_pool="avg", fc_norm=True, **small)
    randomise(model, 4)
    save(model.state_dict(), "timm_mean.safetensors")
    cases.add("timm mean", "timm_mean.safetensors", model, [32, 48], heads=4)

    model = VisionTransformer(
        img_size=64, patch_size=16, pre_norm=True, qkv_bias=False, global_pool="avg", fc_norm=False, **small
    )
    randomise(model, 5)
    save(model.state_dict(), "timm_pre_norm.safetensors")
    cases.add("timm pre-norm, mean beside a class token", "timm_pre_norm.safetensors", model, [64, 96], heads=4,
              output="mean")


def of_dinov2(cases):
    """facebookresearch/dinov2: timm's parameters under its names, with its own way to adapt positions."""
    for name, gated, chunk in [("dinov2", False, 1), ("dinov2_swiglu", True, None)]:
        mlp = dict(mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=5.5) if gated else {}
        model = VisionTransformer(
            img_size=56, patch_size=14, embed_dim=32, depth=2, num_heads=4, num_classes=0, init_values=1e-5,
            dynamic_img_size=True, **mlp,
        )
        randomise(model, 6)
        learned = model.pos_embed.data
        state = {"mask_token": torch.zeros(1, 32)}
        for key, value in model.state_dict().items():
            if chunk and key.startswith("blocks."):
                number = int(key.split(".")[1])
                key = key.replace("blocks.", f"blocks.{number // chunk}.", 1)
            if gated:
                key = key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")
            state[key] = value
        # A training checkpoint: the teacher beside the student, with the heads of training.
        checkpoint = {
            "teacher": {f"backbone.{key}": value for key, value in state.items()} | {"dino_head.mlp.weight": torch.zeros(3, 3)},
            "iteration": 7,
        }
        torch.save(checkpoint, OUT / f"{name}.pth")

        def answer(x):
            edge = x.shape[-1] // 14
            patches = learned[:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
            if edge != 4:
                scale = (edge + 0.1) / 4
                patches = torch.nn.functional.interpolate(patches, scale_factor=(scale, scale), mode="bicubic")
                assert patches.shape[-1] == edge
            patches = patches.permute(0, 2, 3, 1).reshape(1, edge * edge, 32)
            tokens = model.patch_embed.proj(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([model.cls_token, tokens], 1) + torch.cat([learned[:, :1], patches], 1)
            return model.norm(model.blocks(tokens))[:, 0]

        cases.add(f"{name}", f"{name}.pth", answer, [56, 84, 42], heads=4)


def of_transformers(cases):
    small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, attn_implementation="eager")

    def saved(model, file):
        folder = OUT / "saved"
        model.save_pretrained(folder)
        (folder / "model.safetensors").rename(OUT / file)
        for rest in folder.iterdir():
            rest.unlink()
        folder.rmdir()

    config = transformers.ViTConfig(intermediate_size=64, image_size=64, patch_size=16, **small)
    model = randomise(transformers.ViTModel(config), 7)
    saved(model, "hugging_face_vit.safetensors")

    def class_token(x):
        return model(x, interpolate_pos_encoding=True).last_hidden_state[:, 0]

    cases.add("Hugging Face ViT", "hugging_face_vit.safetensors", class_token, [64, 96], heads=4)
    # The same in parts, named as transformers 5 names parameters in memory.
    names = sorted(model.state_dict())
    index = {"metadata": {}, "weight_map": {}}
    for number, part in enumerate([names[: len(names) // 2], names[len(names) // 2 :]], 1):
        file = f"parts-{number:05}-of-00002.safetensors"
        save({name: model.state_dict()[name] for name in part}, file)
        index["weight_map"] |= {name: file for name in part}
    (OUT / "parts.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    cases.add("Hugging Face ViT in parts", "parts.safetensors.index.json", class_token, [64], heads=4)

    config = transformers.Dinov2Config(image_size=56, patch_size=14, use_swiglu_ffn=True, **small)
    dinov2 = randomise(transformers.Dinov2Model(config), 8)
    saved(dinov2, "hugging_face_dinov2.safetensors")

    def class_and_mean(x):
        tokens = dinov2(x).last_hidden_state
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)

    cases.add("Hugging Face DINOv2, class and mean", "hugging_face_dinov2.safetensors", class_and_mean, [56, 84], heads=4,
              output="class_and_mean")

    config = transformers.Dinov2WithRegistersConfig(image_size=56, patch_size=14, **small)
    registers = randomise(transformers.Dinov2WithRegistersModel(config), 9)
    saved(registers, "hugging_face_registers.safetensors")
    cases.add("Hugging Face DINOv2 with registers", "hugging_face_registers.safetensors",
              lambda x: registers(x).pooler_output, [56, 84], heads=4)

    config = transformers.CLIPVisionConfig(intermediate_size=64, image_size=64, patch_size=16, projection_dim=12, **small)
    clip = randomise(transformers.CLIPVisionModelWithProjection(config), 10)
    saved(clip, "hugging_face_clip.safetensors")
    cases.add("Hugging Face CLIP", "hugging_face_clip.safetensors",
              lambda x: clip(x, interpolate_pos_encoding=True).image_embeds, [64, 96], heads=4)


def of_open_clip(cases):
    text = dict(context_length=8, vocab_size=20, width=16, heads=2, layers=1)
    vision = dict(image_size=64, patch_size=16, width=32, layers=2, head_width=8)
    for name, quick in [("open_clip", False), ("open_clip_quick_gelu", True)]:
        model = open_clip.model.CLIP(embed_dim=12, vision_cfg=dict(vision), text_cfg=text, quick_gelu=quick)
        randomise(model, 11)
        save({key: value for key, value in model.state_dict().items() if "attn_mask" not in key}, f"{name}.safetensors")
        settings = {"activation": "quick_gelu"} if quick else {}
        cases.add(name.replace("_", " "), f"{name}.safetensors", model.encode_image, [64], heads=4, **settings)

    trunk = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0)
    head = torch.nn.Linear(32, 12, bias=False)
    model = torch.nn.ModuleDict({"visual": torch.nn.ModuleDict({"trunk": trunk, "head": torch.nn.ModuleDict({"proj": head})})})
    randomise(model, 12)
    save(model.state_dict(), "open_clip_timm.safetensors")
    cases.add("open clip with a transformer of timm", "open_clip_timm.safetensors", lambda x: head(trunk(x)), [32], heads=4)


def of_keep(cases):
    """KEEP: timm's transformer with two layers after the class token, beside a text model."""
    visual = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0, init_values=1e-5)
    head = torch.nn.Sequential(torch.nn.Linear(32, 12), torch.nn.GELU(), torch.nn.Linear(12, 12))
    model = torch.nn.ModuleDict({"visual": visual, "visual_head": head})
    randomise(model, 13)
    save(model.state_dict() | {"text.embeddings.word_embeddings.weight": torch.zeros(4, 4)}, "keep.safetensors")
    cases.add("KEEP", "keep.safetensors", lambda x: head(visual(x)), [32], heads=4)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = Cases()
    for part in (of_timm, of_dinov2, of_transformers, of_open_clip, of_keep):
        part(cases)
    cases.write()
    write_shapes(OUT / "shapes")
    largest = max(OUT.rglob("*.*"), key=lambda path: path.stat().st_size)
    print(f"{len(cases.cases)} cases; the largest file is {largest.name} with {largest.stat().st_size} bytes")
    print(f"torch {torch.__version__}, timm {timm.__version__}, transformers {transformers.__version__}, "
          f"open_clip {open_clip.__version__}")


main()
