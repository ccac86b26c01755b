"""Write the features that Python torch computes with the encoders' backbones: reference values for tests/it/encoder.rs.

    python3 scripts/encoder_reference.py        (from the project's root; torch 2.13, torchvision 0.28,
                                                 efficientnet-lite-pytorch 0.1.0, safetensors, pillow)

Inputs and the weights of the ResNets come from formulas that the test repeats; MobileNetV2 and EfficientNet-Lite0 use the
ImageNet weights that scripts/setup.sh downloads. The tiny TorchScript module is also made here.
"""

import math
import pathlib

import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/fixtures/encoder"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LITE = ((0.498, 0.498, 0.498), (0.502, 0.502, 0.502))


def pattern(edge):
    """Return an image computed by an integer formula, [3, edge, edge] bytes."""
    y, x = torch.meshgrid(torch.arange(edge), torch.arange(edge), indexing="ij")
    return torch.stack([(x * x + 3 * y) % 256, (5 * x + y * y) % 256, (x * y + 7 * x) % 256]).to(torch.uint8)


def formula_weights(model):
    """Fill every parameter by a formula of its name and index that is easy to repeat in Rust."""
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        seed = 0
        for byte in name.encode():
            seed = (seed * 31 + byte) % 65521
        index = torch.arange(tensor.numel(), dtype=torch.int64)
        unit = ((index * 7919 + seed * 104729) % 65521).double() / 65521.0  # 0 to 1
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            values = 0.75 + 0.5 * unit
        elif tensor.dim() == 1:
            values = 0.2 * (unit - 0.5)
        else:
            # Keeps the signal's size from layer to layer (He et al. 2015).
            values = (unit - 0.5) * math.sqrt(24.0 / tensor[0].numel())
        tensor.copy_(values.reshape(tensor.shape).float())


def features(model, kind, images):
    if kind == "efficientnet_lite0":
        return model.extract_features(images).mean((2, 3))
    if kind == "mobilenet_v2":
        return model.features(images).mean((2, 3))
    model.fc = torch.nn.Identity()
    return model(images)


@torch.no_grad()
def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tissue = torch.frombuffer(
        bytearray(Image.open(OUT / "tissue_224.png").convert("RGB").tobytes()), dtype=torch.uint8
    ).reshape(224, 224, 3).permute(2, 0, 1)
    answers = {}
    for kind in ["resnet18", "resnet34", "resnet50", "mobilenet_v2", "efficientnet_lite0"]:
        mean, std = IMAGENET
        if kind == "efficientnet_lite0":
            mean, std = LITE
            model = EfficientNet.from_name("efficientnet-lite0")
        else:
            model = getattr(torchvision.models, kind)()
        if kind.startswith("resnet"):
            formula_weights(model)
        else:
            model.load_state_dict(load_file(ROOT / f"models/weights/{kind}.safetensors"))
        model.eval()
        images = torch.stack([pattern(224), tissue]).float() / 255
        images = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        answers[kind] = features(model, kind, images).contiguous()
        print(kind, tuple(answers[kind].shape), answers[kind].abs().mean().item(), answers[kind].std(0).mean().item())
    save_file(answers, OUT / "features.safetensors")

    torch.manual_seed(0)
    tiny = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 8, stride=8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    ).eval()
    torch.jit.save(torch.jit.trace(tiny, torch.zeros(1, 3, 64, 64)), str(OUT / "tiny.pt"))
    image = (pattern(64).float()[None] / 255 - 0.5) / 0.25
    save_file({"tiny": tiny(image)}, OUT / "tiny.safetensors")


main()
