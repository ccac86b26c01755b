#!/usr/bin/env bash
# Make an encoder that learned: networks learn from neighbouring tiles, and prototypes are found among what their mean
# answers. What this gained and lost when it was tried stands in models/tissue-prototypes/card.md.
#
#   scripts/make_encoder.sh NAME OUT SLIDE…
#
# SLIDE… are the slides to learn from; no label is used. OUT gets the runs, the networks' weights and the finished model
# OUT/models/NAME (model.toml, head, weights as 16-bit numbers, a card): copy that folder to models/ to use it by name, or
# give its path to --encoder.
#
#   SEEDS ("0 1 2")     a network learns for each
#   STEPS (300)         learning steps, of 24 pairs
#   BLOCKS (13,16)      blocks of MobileNetV2 whose output makes up the features
#   TILES (--tile-px 112 --mpp 2)    what is learned from
#   HISTOKIN            the program (target/release/histokin), DEVICE where it learns (auto)
#
# A network that is there already is used again, so that a script that was stopped goes on with the next.
set -euo pipefail
if [[ $# -lt 3 ]]; then sed -n '2,18p' "$0"; exit 2; fi
name=$1 out=$2
shift 2
histokin=${HISTOKIN:-target/release/histokin} device=${DEVICE:-auto}
read -ra seeds <<<"${SEEDS:-0 1 2}"
read -ra tiles <<<"${TILES:---tile-px 112 --mpp 2}"
fit=(--models "$out/models" --blocks "${BLOCKS:-13,16}" --tiles-per-slide 500 --seed 0 --device "$device")

# Principal components of ImageNet's features on this tissue: from here learning begins.
start=$out/models/start
[[ -e $start/model.toml ]] || "$histokin" fit-model --name start "${fit[@]}" --whiten "$@" >&2

# A tile's neighbours within 2 mm are to be more like it than the other tiles of its slide, so that a slide's own colours
# tell nothing. ImageNet's own weights are part of the mean, so that less is forgotten.
weights=(--weights models/weights/mobilenet_v2.safetensors)
for seed in "${seeds[@]}"; do
    learned=$out/$name-$seed.safetensors
    [[ -e $learned ]] || "$histokin" train "$out/project" "$@" --preset near_pairs --init "$start" \
        --steps "${STEPS:-300}" "${tiles[@]}" --seed "$seed" --device "$device" -o "$learned" >&2
    weights+=(--weights "$learned")
done

"$histokin" fit-model --name "$name" "${fit[@]}" "${weights[@]}" --copy-weights --prototypes "$@"
