#!/usr/bin/env bash
# The paper's table from your own slides: colour histogram, ImageNet, NPID and Siamese encoders side by side on the same
# tiles, ending in a report.
#
#   scripts/compare_encoders.sh OUT LABELS SLIDE…
#
# SLIDE… are slides or folders of slides, LABELS what `histokin evaluate --labels` takes. OUT gets the project with all
# descriptors, the models that were trained, and the report (OUT/report/report.html, .pdf, .json, tables).
#
#   NPID, SIAMESE    models to compare; without them each is trained here for STEPS steps (300)
#   TILES            tile size and resolution of all encoders (--tile-px 224 --mpp 1.0)
#   MORE             further encoders, separated by blanks: names of models, files of weights, TorchScript
#   EVALUATE         further flags of `histokin evaluate`, such as --exclude patient --patients PATTERN
#   HISTOKIN         the program (target/release/histokin), DEVICE where encoders run (auto)
#
# What is there already is used again: a run that was stopped goes on where it was.
set -euo pipefail
if [[ $# -lt 3 ]]; then sed -n '2,17p' "$0"; exit 2; fi
out=$1 labels=$2
shift 2
histokin=${HISTOKIN:-target/release/histokin} device=${DEVICE:-auto} steps=${STEPS:-300}
read -ra tiles <<<"${TILES:---tile-px 224 --mpp 1.0}"
read -ra more <<<"${MORE:-}"
read -ra evaluate <<<"${EVALUATE:-}"
mkdir -p "$out"

# Train NAME by METHOD unless the user or an earlier run has brought it; prints its path.
model() {
    local method=$1 given=$2 path=$out/$1.safetensors
    if [[ -n $given ]]; then echo "$given"; return; fi
    [[ -e $path ]] || "$histokin" train "$out/training-$method" "${slides[@]}" --method "$method" "${tiles[@]}" \
        --steps "$steps" --device "$device" -o "$path" >&2
    echo "$path"
}

slides=("$@")
"$histokin" embed "$out/project" "${slides[@]}" "${tiles[@]}" --device "$device"
npid=$(model npid "${NPID:-}")
siamese=$(model siamese "${SIAMESE:-}")
encoders=(--encoder imagenet-mobilenet-v2 --encoder "$npid" --encoder "$siamese")
for encoder in "${more[@]}"; do encoders+=(--encoder "$encoder"); done
"$histokin" evaluate "$out/project" "${encoders[@]}" --labels "$labels" --some-slides --device "$device" \
    --report "$out/report" "${evaluate[@]}"
