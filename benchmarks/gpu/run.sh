#!/usr/bin/env bash
# One command for a machine with one GPU: correctness first, then figures, in at most eight minutes, without a network.
#
#   benchmarks/gpu/run.sh OUT              # OUT gets results.json, results.md and log.txt
#   benchmarks/gpu/run.sh OUT --dry-run    # the same parts on the CPU, with tiny sizes
#
# Packages that the machine lacks are taken from benchmarks/gpu/wheels, which benchmarks/gpu/wheels.sh fills elsewhere, or
# from the folder WHEELS.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON="${PYTHON:-python3}"
wheels="${WHEELS:-benchmarks/gpu/wheels}"
if compgen -G "$wheels/*.whl" >/dev/null; then
  site="$(mktemp -d)"
  trap 'rm -rf "$site"' EXIT
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
  export PYTHONPATH="$site"
  # torchcodec looks for the libraries of FFmpeg by their plain names; the wheel of PyAV has them under others.
  mkdir "$site/ffmpeg"
  for file in "$site"/av.libs/lib{av,sw}*.so.*; do
    name="$(basename "$file")"
    version="${name#*.so.}"
    ln -s "$file" "$site/ffmpeg/${name%%-*}.so.${version%%.*}"
  done
  export LD_LIBRARY_PATH="$site/ffmpeg${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$PYTHON" -m benchmarks.gpu.day "$@"
