#!/usr/bin/env bash
# Trains encoders with a table of settings, one after the other, and evaluates each on slides of other patients.
#
#   scripts/encoder_tries.sh TABLE.csv RESULTS.csv DATA LABELS.csv
#
# TABLE.csv has a header line and one line per trial:
#   name,learn,held,flags
#   m10-1um,PA01*|PA02*|PA04*,PA06*|PA07*|PA08*|PA09*,--loss contrastive --margin 10 --mpp 1.0 --steps 600 --seed 1
# `learn` and `held` are patterns of file names in DATA, separated by |; `flags` are options of `histokin train`.
# A line is added to RESULTS.csv when a trial is finished. Trials that are already in it are skipped, so that the script
# can be run again after an interruption. Models, runs and full reports are in the folder RESULTS.csv.d.
#
# HISTOKIN is the program (target/release/histokin), DEVICE the device (cpu), BASELINE an encoder with which each trial is
# compared on the same tiles (models/weights/mobilenet_v2.safetensors), CLASS the class whose retrieval is measured
# (tumour), which must occur on the held-out slides. Trials run one at a time and at low priority.
set -euo pipefail
if [[ $# -ne 4 ]]; then sed -n '2,15p' "$0"; exit 2; fi
table=$1 results=$2 data=$3 labels=$4
histokin=${HISTOKIN:-target/release/histokin} device=${DEVICE:-cpu}
baseline=${BASELINE:-models/weights/mobilenet_v2.safetensors} class=${CLASS:-tumour}
work=$results.d
mkdir -p "$work"
[[ -e $results ]] || echo "name,flags,steps,seconds,pairs_per_second,encoder_id,encoder_step,addr_start,addr_best,report" >"$results"

# Lists the files in DATA that match one of the patterns.
matching() {
    local pattern
    for pattern in ${1//|/ }; do
        find "$data" -name "$pattern" -type f | sort
    done
}

tail -n +2 "$table" | while IFS=, read -r name learn held flags <&3 || [[ -n ${name:-} ]]; do
    grep -q "^$name," "$results" && continue
    mapfile -t slides < <(matching "$learn")
    mapfile -t validation < <(matching "$held")
    if [[ ${#slides[@]} -eq 0 || ${#validation[@]} -eq 0 ]]; then
        echo "$name: no slides match $learn or $held in $data" >&2
        continue
    fi
    echo "$name: ${#slides[@]} training slides, ${#validation[@]} held out" >&2
    model=$work/$name.safetensors
    # shellcheck disable=SC2086 # flags are words
    if ! nice -n 15 "$histokin" train "$work/$name" "${slides[@]}" --validate "${validation[@]}" --device "$device" \
        $flags -o "$model" --json >"$work/$name.train.json" 2>"$work/$name.log"; then
        echo "$name: failed, see $work/$name.log" >&2
        continue
    fi
    # Encoders are compared in a separate project of the held-out slides.
    project=$work/held-${held//[^A-Za-z0-9]/_}
    if ! { nice -n 15 "$histokin" embed "$project" "${validation[@]}" --encoder "$model" --device "$device" >&2 &&
        nice -n 15 "$histokin" evaluate "$project" --encoder "$model" --encoder "$baseline" --labels "$labels" --class "$class" --some-slides \
            --device "$device" --json; } >"$work/$name.evaluate.json" 2>>"$work/$name.log"; then
        echo "$name: trained, but could not be evaluated, see $work/$name.log" >&2
    fi
    python3 - "$name" "$flags" "$work/$name.train.json" "$work/$name.evaluate.json" >>"$results" <<'PYTHON'
import csv, json, sys
name, flags, trained, report = sys.argv[1:]
run = json.load(open(trained))
addr = [one["addr_global"] for one in run["validation"] if one["addr_global"] is not None]
csv.writer(sys.stdout).writerow([
    name, flags, run["steps"], round(run["seconds"]), round(run["pairs_per_second"], 2), run["encoder_id"],
    run["encoder_step"], round(addr[0], 4) if addr else "", round(max(addr[1:], default=float("nan")), 4), report,
])
PYTHON
    tail -n 1 "$results" >&2
done 3<&0
