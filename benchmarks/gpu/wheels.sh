#!/usr/bin/env bash
# Download the wheels that a machine with PyTorch lacks, for benchmarks/gpu/run.sh. About 58 MB.
#
#   benchmarks/gpu/wheels.sh [PYTHON_VERSION]     # default: 3.12
set -euo pipefail
cd "$(dirname "$0")"
version="${1:-3.12}"
platforms=(--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64)
platforms+=(--platform manylinux2014_x86_64)
rm -rf wheels
"${PIP_PYTHON:-python3}" -m pip download -q --no-deps --only-binary=:all: --python-version "$version" \
  --implementation cp "${platforms[@]}" -d wheels av transformers datasets evaluate dill multiprocess num2words docopt-ng torchcodec
du -sh wheels
