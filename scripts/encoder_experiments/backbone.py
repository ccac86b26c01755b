"""MobileNetV2 with the parameter names of torchvision, in two parts: frozen blocks, and blocks that learn."""

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LAST = 16  # the readout takes the blocks 13 and 16
MEAN = torch.tensor([0.485, 0.456, 0.406]).mul(255)[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225]).mul(255)[:, None, None]
# Expansion, channels, repeats and first stride of each group of blocks (Sandler et al. 2018, table 2).
GROUPS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]


def convolution(inputs, outputs, edge, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, edge, stride, edge // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class Block(nn.Module):
    """Inverted residual block."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *([convolution(inputs, hidden, 1)] if expansion != 1 else []),
            convolution(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class Blocks(nn.Module):
    """Blocks `first` to 16. Returns the pooled outputs of those of the blocks 13 and 16 that are among them."""

    def __init__(self, features, first):
        super().__init__()
        self.blocks = nn.ModuleList(features[first : LAST + 1])
        self.first = first

    def forward(self, x):
        pooled = []
        for number, block in enumerate(self.blocks, self.first):
            x = block(x)
            if number in (13, LAST):
                pooled.append(x.mean((2, 3)))
        return torch.cat(pooled, 1)


def load(weights):
    """Return blocks 0 to 16 with ImageNet's weights, normalisation merged into the convolutions.

    Its statistics stay those of ImageNet, so that merging changes nothing but the time.
    """
    blocks, inputs = [convolution(3, 32, 3, 2)], 32
    for expansion, outputs, repeats, stride in GROUPS:
        for repeat in range(repeats):
            blocks.append(Block(inputs, outputs, 1 if repeat else stride, expansion))
            inputs = outputs
    model = nn.Module()
    model.features = nn.Sequential(*blocks)
    names = model.state_dict().keys()
    model.load_state_dict({name: value for name, value in load_file(weights).items() if name in names})
    return merged(model.eval()).features.to(memory_format=torch.channels_last)


def merged(model):
    for part in model.modules():
        if isinstance(part, nn.Sequential):
            names = list(part._modules)
            for one, two in zip(names, names[1:]):
                if isinstance(part._modules[two], nn.BatchNorm2d):
                    part._modules[one] = fuse_conv_bn_eval(part._modules[one], part._modules[two])
                    part._modules[two] = nn.Identity()
    return model


def normalised(tiles):
    """Return tiles, [N, height, width, 3] bytes, as the network's input, [N, 3, height, width]."""
    return (torch.as_tensor(tiles).permute(0, 3, 1, 2).float() - MEAN) / STD


@torch.no_grad()
def frozen(features, tiles, first):
    """Return the outputs of the block before `first`, [N, channels, 7, 7] for tiles of 112 px."""
    return features[:first](normalised(tiles))


@torch.no_grad()
def pooled(blocks, maps, batch=128):
    """Return the pooled features of kept outputs of the frozen blocks."""
    parts = [torch.as_tensor(maps[at : at + batch]).float() for at in range(0, len(maps), batch)]
    return torch.cat([blocks(part.contiguous(memory_format=torch.channels_last)) for part in parts]).numpy()
