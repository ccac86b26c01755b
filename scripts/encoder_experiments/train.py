"""Train blocks 14 to 16 of MobileNetV2 on kept views of an archive.

    train.py VIEWS WEIGHTS.safetensors OUT --list LIST.csv --loss NAME[:WEIGHT] ... --steps 1000 [2000 ...]

VIEWS is made by archive_views.py. OUT/STEPS.safetensors are the blocks after so many steps, the mean of the weights of
about the last hundred steps (exponential). Normalisation keeps ImageNet's statistics. `--pull` draws the weights to
ImageNet's, by so much of their squared distance (Li et al. 2018, L2-SP). Patients named by `--leave-out` are not seen.

vicreg    Bardes et al. 2022, each section's mean subtracted before variance and covariance
contrast  NT-Xent (Chen et al. 2020): views of a field are alike, those of all other fields are not
within    the same, but only other fields of the same section count as unlike, so that colours of sections teach nothing
organ     the organ of the section; --shuffle gives each patient another's organ
mean      from one view, the mean of the readout of ImageNet's features over all views of the tile and, by the part
          --near, of the tile beside it; the readout stays as it is

A step sees two views of each field, with `--place` two of the same place. `--pair` names what is seen of the first and of the
second view: its `maps`, or its `centre` or `coarse` of `finer_views.py --halves`. Where they differ, each has a mean of its own
in vicreg. With `--towards`, vicreg draws the first view to the second, and not the second to the first.
"""

import argparse
import csv
import functools
import pathlib
import time

import jax
import numpy as np
import optax
from jax import numpy as jnp

import backbone
from readout import fit, sums

ORGANS = ["liver", "stomach", "colon", "duodenum", "small intestine", "kidney", "brain", "meninges", "skin"]
ORGANS += ["soft tissue", "appendix", "squamous mucosa", "oesophagus", "adrenal"]
SAME = {"small intestine": "duodenum", "meninges": "brain", "oesophagus": "squamous mucosa"}
LOSSES = ["vicreg", "contrast", "within", "organ", "mean"]
SEEN = ["maps", "centre", "coarse"]  # what finer_views.py keeps of a view


def contrast(z, within, temperature=0.2):
    """Return NT-Xent's loss of projections, [sections, fields, 2, width]."""
    sections, fields = z.shape[:2]
    z = z.reshape(-1, z.shape[-1])
    z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    field = jnp.arange(sections * fields).repeat(2)
    own = jnp.eye(len(z), dtype=bool)
    alike = (field[:, None] == field) & ~own
    unlike = ~alike & ~own
    if within:
        unlike &= field[:, None] // fields == field // fields
    similarity = z @ z.T / temperature
    others = jax.nn.logsumexp(jnp.where(unlike, similarity, -1e4), 1, keepdims=True)
    return jnp.where(alike, jnp.logaddexp(similarity, others) - similarity, 0).sum() / alike.sum()


def vicreg(z, apart, towards):
    """Return VICReg's loss of projections, [sections, fields, 2, width].

    `apart`: first and second views have a mean each. `towards`: only the first are drawn to the second.
    """
    goal = jax.lax.stop_gradient(z[:, :, 1]) if towards else z[:, :, 1]
    alike = ((z[:, :, 0] - goal) ** 2).mean()
    centred = (z - z.mean(1 if apart else (1, 2), keepdims=True)).reshape(-1, z.shape[-1])
    covariance = centred.T @ centred / (len(centred) - 1)
    variance = jnp.diagonal(covariance)
    spread = jax.nn.relu(1 - jnp.sqrt(variance + 1e-4)).mean()
    return 25 * alike + 25 * spread + ((covariance**2).sum() - (variance**2).sum()) / z.shape[-1]


def organs_of(rows, shuffle, rng):
    """Return the class of each row's section, -1 where the list names none of ORGANS or two."""
    named = {}
    for row in rows:
        organ = row["organ"].split(" (")[0]
        found = next((known for known in ORGANS if organ.startswith(known)), None)
        if found and "/" not in organ:
            named[row["patient"]] = SAME.get(found, found)
    if shuffle:
        named = dict(zip(named, rng.permutation(list(named.values()))))
    kinds = sorted(set(named.values()))
    return np.array([kinds.index(named[row["patient"]]) if row["patient"] in named else -1 for row in rows])


def targets(maps, parameters, near):
    """Return what `mean` learns, [fields, 2, width], and the readout that gives it, fitted on ImageNet's features."""
    features = backbone.pooled(parameters, maps.reshape(-1, *maps.shape[-3:]))
    features = features.reshape(*maps.shape[:3], -1)
    plain, pairs = features[:, :, 0], np.arange(len(maps)) * 2
    matrix, mean = fit([sums(plain.reshape(-1, plain.shape[-1]), pairs, pairs + 1)])
    whole = (features.mean(2) - mean) @ matrix.T
    size = whole.std()
    readout = {"kernel": np.float32(matrix.T / size), "bias": np.float32(-matrix @ mean / size)}
    return np.float32(((1 - near) * whole + near * whole[:, ::-1]) / size), readout


def linear(rng, inputs, outputs):
    return {"kernel": rng.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32), "bias": jnp.zeros(outputs)}


def project(head, x):
    """Apply one linear layer, or two with a ReLU between them."""
    for number, layer in enumerate(head):
        x = (jax.nn.relu(x) if number else x) @ layer["kernel"] + layer["bias"]
    return x


def pooled_views(blocks, maps):
    """Return the pooled features of blocks 13 and 16, [sections, fields, width], of views, [sections, fields, 7, 7, 96]."""
    flat = maps.astype(jnp.float32).reshape(-1, *maps.shape[2:])
    pooled = backbone.blocks(blocks, flat, backbone.FIRST).mean((1, 2))
    return [features.reshape(*maps.shape[:2], -1) for features in (flat.mean((1, 2)), pooled)]


def loss_of(learned, fixed, views, wanted, weights, pull, apart, towards):
    """Return the weighted sum of losses; `views` are the first and the second ones, [sections, fields, 7, 7, 96] each."""
    parts = [pooled_views(learned["blocks"], maps) for maps in views]
    low, pooled = (jnp.stack(part, 2) for part in zip(*parts))
    total = 0.0
    for name, weight in weights:
        if name == "mean":
            z = project([fixed["readout"]], jnp.concatenate([low, pooled], -1))
        else:
            z = project(learned["heads"][name], (pooled - fixed["centre"]) / fixed["spread"])
        if name == "mean":
            loss = ((z - wanted[name]) ** 2).mean()
        elif name == "organ":
            known = wanted[name] >= 0
            losses = optax.softmax_cross_entropy_with_integer_labels(z, jnp.maximum(wanted[name], 0))
            loss = (losses * known).sum() / jnp.maximum(known.sum(), 1)
        else:
            loss = vicreg(z, apart, towards) if name == "vicreg" else contrast(z, name == "within")
        total += weight * loss
    changes = jax.tree.map(lambda one, two: ((one - two) ** 2).sum(), learned["blocks"], fixed["start"])
    return total + pull * sum(jax.tree.leaves(changes))


def drawn_pair(same_place, fields, places, each, rng):
    """Draw the place and the view of two views of each field, [*fields, 2] both."""
    if not same_place:
        return np.divmod(np.argsort(rng.random((*fields, places * each)), -1)[..., :2], each)
    place = np.broadcast_to(rng.integers(places, size=(*fields, 1)), (*fields, 2))
    return place, np.argsort(rng.random((*fields, each)), -1)[..., :2]


def train(start, seen, section, wanted, readout, args, rng, keep):
    """Call keep(step, blocks) with the mean blocks at each of args.steps.

    `seen` are the outputs of block 13 of first and of second views. `wanted` holds what each loss asks for: of each place
    for `mean`, [fields, 2, width], of each field for `organ`.
    """
    maps = seen[0]
    some = rng.permutation(len(maps))[:500]
    pooled = backbone.pooled(start, maps[some, 0, rng.integers(maps.shape[2], size=len(some))])[:, maps.shape[-1] :]
    fixed = {"start": start, "readout": readout, "centre": pooled.mean(0), "spread": pooled.std(0) + 1e-3}
    heads, width = {}, pooled.shape[1]
    for name, _ in args.loss:
        if name == "organ":
            heads[name] = [linear(rng, width, wanted[name].max() + 1)]
        elif name != "mean":
            heads[name] = [linear(rng, width, 256), linear(rng, 256, args.width)]
    learned = {"blocks": start, "heads": heads}
    rates = {"blocks": args.lr, "heads": 1e-3}
    rates = {name: optax.adam(optax.linear_schedule(0, rate, 50)) for name, rate in rates.items()}
    optimiser = optax.multi_transform(rates, {"blocks": "blocks", "heads": "heads"})
    options = {"weights": args.loss, "pull": args.pull, "apart": args.pair[0] != args.pair[1], "towards": args.towards}
    gradient = jax.value_and_grad(functools.partial(loss_of, **options))

    @jax.jit
    def step(learned, state, mean, fixed, views, wanted):
        loss, change = gradient(learned, fixed, views, wanted)
        change, state = optimiser.update(change, state)
        learned = optax.apply_updates(learned, change)
        mean = backbone.mixed(mean, learned["blocks"], 0.01)
        return learned, state, mean, loss

    state, mean = optimiser.init(learned), start
    of_section = [np.where(section == number)[0] for number in range(section.max() + 1)]
    usable = [n for n, found in enumerate(of_section) if len(found) >= args.fields]
    places, each = maps.shape[1:3]
    total, begin = 0.0, time.time()
    for number in range(1, max(args.steps) + 1):
        sections = rng.choice(usable, args.sections, replace=False)
        chosen = np.stack([rng.permutation(of_section[n])[: args.fields] for n in sections])
        place, view = drawn_pair(args.place, chosen.shape, places, each, rng)
        views = [from_[chosen, place[..., k], view[..., k]] for k, from_ in enumerate(seen)]
        goals = {}
        if "mean" in wanted:
            goals["mean"] = wanted["mean"][chosen[..., None], place]
        if "organ" in wanted:
            goals["organ"] = np.broadcast_to(wanted["organ"][chosen][..., None], place.shape)
        learned, state, mean, loss = step(learned, state, mean, fixed, views, goals)
        total += float(loss)
        if number % 100 == 0:
            print(f"step {number}: loss {total / 100:.4f}, {time.time() - begin:.0f} s", flush=True)
            total = 0.0
        if number in args.steps:
            keep(number, mean)


def weighted(text):
    """Return the name and weight of a loss from NAME or NAME:WEIGHT."""
    name, _, weight = text.partition(":")
    if name not in LOSSES:
        raise ValueError(f"{name} is none of {', '.join(LOSSES)}")
    return name, float(weight or 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--loss", type=weighted, nargs="+", required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000])
    parser.add_argument("--sections", type=int, default=8, help="sections per step")
    parser.add_argument("--fields", type=int, default=8, help="fields per section and step")
    parser.add_argument("--width", type=int, default=64, help="numbers that the projection gives")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--pull", type=float, default=0.0)
    parser.add_argument("--near", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", type=pathlib.Path, required=True)
    parser.add_argument("--leave-out", nargs="+", default=[])
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("--pair", nargs=2, choices=SEEN, default=["maps", "maps"])
    parser.add_argument("--place", action="store_true")
    parser.add_argument("--towards", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    with args.list.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["patient"] not in args.leave_out]
    rows = [row for row in rows if (args.views / f"{row['slide']}.npz").exists()]
    parts = {name: [np.load(args.views / f"{row['slide']}.npz")[name] for row in rows] for name in set(args.pair)}
    section = np.repeat(np.arange(len(rows)), [len(part) for part in parts[args.pair[0]]])
    parts = {name: np.concatenate(part) for name, part in parts.items()}
    seen = [parts[name] for name in args.pair]
    maps = seen[0]
    print(len(rows), "sections,", len(maps), "fields,", maps.shape[1] * maps.shape[2], "views of each", flush=True)
    start = backbone.load(args.weights)[backbone.FIRST :]
    wanted, readout, losses = {}, None, [name for name, _ in args.loss]
    if "organ" in losses:
        wanted["organ"] = organs_of(rows, args.shuffle, rng)[section]
    if "mean" in losses:
        wanted["mean"], readout = targets(maps, start, args.near)

    def keep(step, blocks):
        backbone.save_blocks(args.out / f"{step}.safetensors", blocks)

    train(start, seen, section, wanted, readout, args, rng, keep)


if __name__ == "__main__":
    main()
