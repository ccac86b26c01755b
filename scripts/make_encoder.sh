#!/usr/bin/env bash
# Makes an encoder by learning: trains networks on pairs of neighbouring tiles, averages their weights, and finds prototypes
# among the features of the average. What this gained and lost is stated in models/tissue-prototypes/card.md.
#
#   scripts/make_encoder.sh NAME OUT SLIDE…
#
# SLIDE… are the training slides; no labels are used. OUT will contain the runs, the networks' weights and the finished
# model OUT/models/NAME (model.toml, head, weights as 16-bit numbers, a model card). Copy that folder to models/ to use it
# by name, or give its path to --encoder.
# Environment variables, with defaults in parentheses:
#   SEEDS ("0 1 2")     one network is trained for each seed
#   STEPS (300)         training steps of 24 pairs
#   BLOCKS (13,16)      blocks of MobileNetV2 whose outputs form the features
#   TILES (--tile-px 112 --mpp 2)    tiles to train on
#   HISTOKIN, DEVICE    the program (target/release/histokin), and where it trains (auto)
#
# Existing networks are reused: run the script again to continue after an interruption.
set -euo pipefail
if [[ $# -lt 3 ]]; then sed -n '2,17p' "$0"; exit 2; fi
name=$1 out=$2
shift 2
histokin=${HISTOKIN:-target/release/histokin} device=${DEVICE:-auto}
read -ra seeds <<<"${SEEDS:-0 1 2}"
read -ra tiles <<<"${TILES:---tile-px 112 --mpp 2}"
fit=(--models "$out/models" --blocks "${BLOCKS:-13,16}" --tiles-per-slide 500 --seed 0 --device "$device")

# Starting point of the training: principal components of the ImageNet features on this tissue.
start=$out/models/start
[[ -e $start/model.toml ]] || "$histokin" fit-model --name start "${fit[@]}" --whiten "$@" >&2

# Training makes a tile more similar to its neighbours within 2 mm than to other tiles of the same slide, so that colours
# specific to a slide carry no information. The ImageNet weights are included in the average, to forget less of them.
weights=(--weights models/weights/mobilenet_v2.safetensors)
for seed in "${seeds[@]}"; do
    learned=$out/$name-$seed.safetensors
    [[ -e $learned ]] || "$histokin" train "$out/project" "$@" --preset near_pairs --init "$start" \
        --steps "${STEPS:-300}" "${tiles[@]}" --seed "$seed" --device "$device" -o "$learned" >&2
    weights+=(--weights "$learned")
done

"$histokin" fit-model --name "$name" "${fit[@]}" "${weights[@]}" --copy-weights --prototypes "$@"
