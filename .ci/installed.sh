#!/usr/bin/env bash
# What a user gets: wheel and sdist, built and checked; the wheel, which is made from the sdist, installed into an empty
# environment, and run away from the checkout.
#   .ci/installed.sh VENV SCRATCH [DIST]     DIST: where the two files are left
set -euo pipefail
bin=$(cd "$1/bin" && pwd)
scratch=$2
dist=${3:-$scratch/dist}
rm -rf "$scratch/clean" "$scratch/away" "$dist"/centernet-*
mkdir -p "$scratch/away" "$dist"

# The locked setuptools builds, not whichever is newest today.
"$bin/python" -m build --no-isolation --outdir "$dist" . >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log" >&2; exit 1; }
"$bin/twine" check --strict "$dist"/*
wheel=$(cd "$dist" && echo "$PWD"/*.whl)

"$bin/python" -m venv "$scratch/clean"
"$scratch/clean/bin/python" -m pip install --quiet "centernet[onnx] @ file://$wheel"

cd "$scratch/away"
unset PYTHONPATH
clean=$scratch/clean/bin
"$clean/python" - <<'PYTHON'
import importlib.util, pathlib, sys
import centernet
from PIL import Image

assert pathlib.Path(centernet.__file__).is_relative_to(sys.prefix), centernet.__file__
assert importlib.util.find_spec("torch") is None, "the extra onnx brings torch"
Image.radial_gradient("L").convert("RGB").save("photo.jpg")
PYTHON
"$clean/centernet" detect photo.jpg --output out
test -s out/detections.json
"$clean/centernet" models --licences >licences.txt
grep -qi licence licences.txt
