#!/bin/sh
# Makes the environment that a worker runs in: the locked packages, each checked by its hash, and the wheel of retryd.
# `install.sh PLACE FOLDER`: the environment is made at PLACE, and stays there; FOLDER holds run.txt and the wheel.
set -eu

if [ $# -ne 2 ]; then
  echo "usage: install.sh PLACE FOLDER" >&2
  exit 2
fi
place=$1
folder=$2

# The shell leaves a pattern as it is when nothing matches it.
set -- "$folder"/retryd-*.whl
if [ $# -ne 1 ] || [ ! -f "$1" ]; then
  echo "install.sh: $folder has to hold exactly one wheel of retryd: run \`make wheel\`" >&2
  exit 1
fi

pip() {
  "$place/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet "$@"
}
python3 -m venv "$place"
pip install --require-hashes --only-binary=:all: --requirement "$folder/run.txt"
pip install --no-deps --no-index "$1"
pip check
pip uninstall --yes setuptools pip # nothing is installed there later
"$place/bin/retryd" --version
