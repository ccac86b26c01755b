#!/usr/bin/env bash
# Embeds slides, searches and renders without a display: demo.sh HISTOKIN SLIDES OUT writes images and results.json to
# OUT.
set -euo pipefail
histokin=$1 slides=$2 out=$3
mkdir -p "$out"
# 0.5 µm/px instead of 1.0, because the demonstration slides are small: this gives more tiles.
"$histokin" embed "$out/project" "$slides" --mpp 0.5 --json > "$out/embed.json"
"$histokin" query "$out/project" --slide CMU-1-Small-Region --at 1000,1500 -k 13 --exclude-um 150 \
  --sheet "$out/matches.png" --json > "$out/results.json"
"$histokin" render "$slides/CMU-1-Small-Region.svs" --rect 0,0,2220,2967 --size 1110x1484 -o "$out/slide.png"
"$histokin" tissue "$slides/CMU-1-Small-Region.svs" -o "$out/tissue.png"
echo "images and results.json are in $out"
