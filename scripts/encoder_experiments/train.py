"""Train the last blocks of MobileNetV2 on kept views of an archive, and write the features of judged tiles.

    train.py VIEWS TILES.npz WEIGHTS.safetensors OUT.npz --loss contrast|within|vicreg|organ|far [--share 0.5]

VIEWS is made by archive_views.py, TILES.npz by judged_tiles.py; OUT.npz is for judge.py. Normalisation keeps ImageNet's
statistics. `--share` is that of the trained weights in a mean with ImageNet's (Wortsman et al. 2022, WiSE-FT).

contrast  NT-Xent (Chen et al. 2020): views of a field are alike, those of all other fields are not
within    the same, but only other fields of the same section count as unlike, so that colours of sections teach nothing
vicreg    Bardes et al. 2022, each section's mean subtracted before variance and covariance
organ     the organ of the section, from --list (as archive_fields.py); --shuffle gives each patient another's organ
far       the paper's loss, with the nearest third of the pairs of different fields of a section as far pairs
"""

import argparse
import copy
import csv
import pathlib
import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import backbone

ORGANS = ["liver", "stomach", "colon", "duodenum", "small intestine", "kidney", "brain", "meninges", "skin"]
ORGANS += ["soft tissue", "appendix", "squamous mucosa", "oesophagus", "adrenal"]
SAME = {"small intestine": "duodenum", "meninges": "brain", "oesophagus": "squamous mucosa"}
FAR_DISTANCE = 10.0


def contrast(z, field, section, within, temperature=0.2):
    z = functional.normalize(z, dim=1)
    similarity = z @ z.T / temperature
    own = torch.eye(len(z), dtype=torch.bool)
    alike = (field[:, None] == field) & ~own
    unlike = ~alike & ~own
    if within:
        unlike &= section[:, None] == section
    others = torch.logsumexp(similarity.masked_fill(~unlike, -1e4), 1, keepdim=True)
    return (torch.logaddexp(similarity, others) - similarity)[alike].mean()


def vicreg(z, field, section):
    one, two = torch.where((field[:, None] == field).triu(1))
    alike = functional.mse_loss(z[one], z[two])
    centred = torch.cat([z[section == s] - z[section == s].mean(0) for s in section.unique()])
    covariance = centred.T @ centred / (len(z) - 1)
    variance = covariance.diagonal()
    spread = functional.relu(1 - (variance + 1e-4).sqrt()).mean()
    return 25 * alike + 25 * spread + (covariance - torch.diag(variance)).pow(2).sum() / z.shape[1]


def far_pairs(z, field, section):
    distance = torch.cdist(z, z)
    near = (field[:, None] == field).triu(1)
    far = distance[((section[:, None] == section) & (field[:, None] != field)).triu(1)].sort().values
    return distance[near].mean() + functional.relu(FAR_DISTANCE - far[: len(far) // 3]).mean()


def organs_of(path, sections, shuffle, rng):
    """Return each section's class, -1 where the list names none of ORGANS or two."""
    with path.open(newline="") as file:
        rows = {row["slide"]: row for row in csv.DictReader(file)}
    named, whose = {}, {}
    for name in sections:
        organ, whose[name] = rows[name]["organ"].split(" (")[0], rows[name]["patient"]
        found = next((known for known in ORGANS if organ.startswith(known)), None)
        if found and "/" not in organ:
            named[name] = SAME.get(found, found)
    kinds = sorted(set(named.values()))
    by_patient = {whose[name]: kinds.index(organ) for name, organ in named.items()}
    if shuffle:
        by_patient = dict(zip(by_patient, rng.permutation(list(by_patient.values()))))
    return np.array([by_patient[whose[name]] if name in named else -1 for name in sections]), len(kinds)


def train(blocks, maps, section, classes, kinds, args, rng):
    """Train the blocks in place."""
    def load(part):
        return torch.as_tensor(part.reshape(-1, *part.shape[-3:])).float().contiguous(memory_format=torch.channels_last)

    with torch.no_grad():
        some = blocks(load(maps[rng.permutation(len(maps))[:256], 0]))
        mean, deviation = some.mean(0), some.std(0) + 1e-3
    width = len(mean)
    head = nn.Linear(width, kinds) if kinds else nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 64))
    blocks.requires_grad_(True)
    groups = [{"params": blocks.parameters(), "lr": args.lr}, {"params": head.parameters(), "lr": 1e-3}]
    rates = [group["lr"] for group in groups]
    optimiser = torch.optim.AdamW(groups, weight_decay=0)
    of_section = [np.where(section == number)[0] for number in range(section.max() + 1)]
    usable = [n for n, found in enumerate(of_section) if len(found) >= 4 and (not kinds or classes[n] >= 0)]
    views, start = 1 if kinds else 2, time.time()
    for step in range(args.steps):
        rate = min(1, (step + 1) / 20) * 0.5 * (1 + np.cos(np.pi * step / args.steps))
        for group, full in zip(optimiser.param_groups, rates):
            group["lr"] = full * rate
        sections = rng.choice(usable, args.sections, replace=False)
        chosen = np.concatenate([rng.permutation(of_section[n])[: args.fields] for n in sections])
        # One plain view or a varied one of the first place, and so on: views 0 and 1 are plain, 2 to 5 varied.
        which = np.stack([rng.permutation(6)[:views] for _ in chosen])
        field = torch.arange(len(chosen)).repeat_interleave(views)
        of_view = torch.as_tensor(np.repeat(section[chosen], views))
        z = head((blocks(load(maps[chosen[:, None], which])) - mean) / deviation)
        if kinds:
            loss = functional.cross_entropy(z, torch.as_tensor(classes)[of_view])
        elif args.loss == "vicreg":
            loss = vicreg(z, field, of_view)
        elif args.loss == "far":
            loss = far_pairs(z, field, of_view)
        else:
            loss = contrast(z, field, of_view, within=args.loss == "within")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 19:
            print(f"step {step + 1}: loss {loss.item():.3f}, {time.time() - start:.0f} s", flush=True)
    blocks.requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", type=pathlib.Path)
    parser.add_argument("tiles", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--loss", choices=["contrast", "within", "vicreg", "organ", "far"], required=True)
    parser.add_argument("--first", type=int, default=14, help="first block that learns, as in archive_views.py")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--sections", type=int, default=8, help="sections per step")
    parser.add_argument("--fields", type=int, default=6, help="fields per section and step")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", type=pathlib.Path)
    parser.add_argument("--shuffle", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    paths = sorted(args.views.glob("*.npz"))
    parts = [np.load(path)["maps"] for path in paths]
    section = np.repeat(np.arange(len(paths)), [len(part) for part in parts])
    classes, kinds = None, 0
    if args.loss == "organ":
        classes, kinds = organs_of(args.list, [path.stem for path in paths], args.shuffle, rng)
    features = backbone.load(args.weights)
    start = backbone.Blocks(features, args.first)
    blocks = copy.deepcopy(start)
    if args.steps:
        train(blocks, np.concatenate(parts), section, classes, kinds, args, rng)
    trained = blocks.state_dict()
    mixed = {name: (1 - args.share) * value + args.share * trained[name] for name, value in start.state_dict().items()}
    blocks.load_state_dict(mixed)
    tiles, out = np.load(args.tiles), {}
    between = backbone.Blocks(features, 13)  # pools block 13 where it is frozen
    for name in ("labelled", "tissue"):
        rows = []
        for at in range(0, len(tiles[name]), 32):
            part = tiles[name][at : at + 32]
            maps = backbone.frozen(features, part, args.first).numpy()
            row = backbone.pooled(blocks, maps)
            if args.first > 13:
                row = np.concatenate([backbone.pooled(between, backbone.frozen(features, part, 13))[:, :96], row], 1)
            rows.append(row)
        out[name] = np.concatenate(rows)
    np.savez(args.out, **out)
    save_file({name: value.half().contiguous() for name, value in mixed.items()}, args.out.with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
