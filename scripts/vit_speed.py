"""Compare the processor time of vision transformers in histokin, eager PyTorch and ONNX Runtime, one thread each.

    scripts/vit_venv.sh
    cargo bench --bench vision_transformer --profile dev --no-run
    target/python-vit/bin/python scripts/vit_speed.py target/debug/deps/vision_transformer-*

All are measured in turn, twice, and the smaller figures count: processor time is disturbed little by other programs.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

import onnxruntime
import timm
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

BATCH, ROUNDS = 8, 5
MODELS = {
    "ViT-S/14": ("vit_small_patch14_dinov2", {"img_size": 224}),
    "ViT-B/16": ("vit_base_patch16_224", {}),
}


def least(run):
    run()
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        times.append(time.process_time() - begun)
    return min(times) / BATCH


def ours(program):
    text = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}).stdout
    return {f"histokin {bits} {name}": float(seconds) for name, bits, seconds in
            re.findall(r"(\S+) (f32|bf16|encoder-\w+) (\S+) CPU-s", text)}


@torch.no_grad()
def theirs():
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    found = {}
    for name, (architecture, settings) in MODELS.items():
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **settings).eval()
        images = torch.rand(BATCH, 3, 224, 224)
        found[f"PyTorch f32 {name}"] = least(lambda: model(images))
        with tempfile.TemporaryDirectory() as folder:
            plain, int8 = f"{folder}/plain.onnx", f"{folder}/int8.onnx"
            torch.onnx.export(model, (images,), plain, input_names=["x"], dynamo=False, opset_version=17)
            quantize_dynamic(plain, int8, weight_type=QuantType.QInt8, per_channel=True)
            for bits, path in [("f32", plain), ("int8", int8)]:
                session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                found[f"ONNX Runtime {bits} {name}"] = least(lambda: session.run(None, {"x": images.numpy()}))
        half, half_images = model.bfloat16(), images.bfloat16()
        found[f"PyTorch bf16 {name}"] = least(lambda: half(half_images))
    return found


def main():
    best = {}
    for _ in range(2):
        for key, seconds in (ours(sys.argv[1]) | theirs()).items():
            best[key] = min(seconds, best.get(key, seconds))
    for name in MODELS:
        reference = best[f"PyTorch f32 {name}"]
        for key, seconds in best.items():
            if key.endswith(name):
                print(f"{key:28} {seconds:.4f} CPU-s a tile, {reference / seconds:.2f} × eager PyTorch f32")


main()
