#!/usr/bin/env bash
# Compares a colour histogram, ImageNet, NPID and Siamese encoders on the same tiles of your slides, and writes a
# report.
#
#   scripts/compare_encoders.sh OUT LABELS SLIDE…
#
# SLIDE… are slides or folders of slides; LABELS is the argument of `histokin evaluate --labels`. OUT will contain the
# project with all descriptors, the trained models, and the report (OUT/report/report.html, .pdf, .json, tables).
# Environment variables, with defaults in parentheses:
#   NPID, SIAMESE    models to compare; those not given are trained for STEPS steps (300)
#   TILES            tile size and spacing of all encoders (--tile-px 224 --mpp 1.0)
#   MORE             further encoders, separated by spaces: names of models, weights files, TorchScript files
#   EVALUATE         further options of `histokin evaluate`, such as --exclude patient --patient-pattern PATTERN
#   HISTOKIN, DEVICE the program (target/release/histokin), and where encoders run (auto)
#
# Existing results are reused: run the script again to continue after an interruption.
set -euo pipefail
if [[ $# -lt 3 ]]; then sed -n '2,16p' "$0"; exit 2; fi
out=$1 labels=$2
shift 2
histokin=${HISTOKIN:-target/release/histokin} device=${DEVICE:-auto} steps=${STEPS:-300}
read -ra tiles <<<"${TILES:---tile-px 224 --mpp 1.0}"
read -ra more <<<"${MORE:-}"
read -ra evaluate <<<"${EVALUATE:-}"
mkdir -p "$out"

# Prints the path of the model of METHOD; trains it unless it was given or exists from an earlier run.
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
