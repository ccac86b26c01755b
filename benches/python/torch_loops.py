"""What Python torch 2.13 does in a second, to compare with: prints one number, tiles (encode) or pairs (train).

    torch_loops.py encode BACKBONE BATCH THREADS REPEATS [eager|folded|jit|onnx]
    torch_loops.py train BACKBONE BATCH THREADS STEPS FROZEN

`benches/training.rs` calls it with the Python of target/bench-torch, which

    python3 -m venv target/bench-torch
    target/bench-torch/bin/pip install torch==2.13.0 torchvision==0.28.0 onnxruntime==1.29.0 onnx==1.23.2

makes. The training loop is the one of crates/histokin-training with its tiles in memory already: the same layers learn,
the rest runs without gradients; contrastive loss, AdamW, gradients clipped, loss read back after every step.
"""

import sys
import time

import torch
import torch.fx.experimental.optimization
import torchvision


def blocks(kind):
    """The network as the list of blocks that `depth` counts, and the width of its features."""
    model = getattr(torchvision.models, kind)()
    if kind.startswith("mobilenet"):
        return list(model.features), 1280
    stem = torch.nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    layers = [block for layer in (model.layer1, model.layer2, model.layer3, model.layer4) for block in layer]
    return [stem, *layers], model.fc.in_features


def quickest(run, count, repeats):
    """Items a second of the quickest of several runs: the others were disturbed."""
    run()
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begun)
    return count / best


@torch.inference_mode()
def encode(kind, batch, repeats, how):
    parts, _ = blocks(kind)
    pool = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    model = torch.nn.Sequential(*parts, *pool).eval()
    images = torch.rand(batch, 3, 224, 224)
    if how == "eager":
        return quickest(lambda: model(images), batch, repeats)
    if how == "folded":
        model = torch.fx.experimental.optimization.fuse(model).to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
        return quickest(lambda: model(images), batch, repeats)
    if how == "jit":
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, images)))
        for _ in range(3):
            frozen(images)
        return quickest(lambda: frozen(images), batch, repeats)
    import onnxruntime

    path = f"/tmp/{kind}-{batch}.onnx"
    torch.onnx.export(model, images, path, dynamo=False, input_names=["images"], output_names=["features"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"images": images.numpy()}
    return quickest(lambda: session.run(None, given), batch, repeats)


def train(kind, batch, steps, frozen):
    parts, width = blocks(kind)
    fixed = torch.nn.Sequential(*parts[:frozen]).eval()
    learning = torch.nn.Sequential(*parts[frozen:]).train()
    head = torch.nn.Linear(width, 128)
    parameters = [*learning.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4)
    tiles = torch.randint(0, 256, (2 * batch, 224, 224, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    far = (torch.arange(batch) % 2).float()
    warm, begun = 2, 0.0
    for step in range(warm + steps):
        if step == warm:
            begun = time.perf_counter()
        images = ((tiles.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
        optimiser.zero_grad()
        with torch.no_grad():
            x = fixed(images)
        descriptors = head(learning(x).mean((2, 3))).view(batch, 2, -1)
        distance = (descriptors[:, 0] - descriptors[:, 1]).norm(dim=1)
        loss = ((1 - far) * distance + far * (10 - distance).clamp(min=0)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        loss.item()
    return batch * steps / (time.perf_counter() - begun)


what, kind = sys.argv[1:3]
batch, threads, repeats = map(int, sys.argv[3:6])
torch.set_num_threads(threads)
if what == "train":
    print(train(kind, batch, repeats, int(sys.argv[6])))
else:
    print(encode(kind, batch, repeats, sys.argv[6] if len(sys.argv) > 6 else "eager"))
