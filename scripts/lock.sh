#!/bin/sh
# Remake requirements.txt from the ranges in pyproject.toml, in an environment that is thrown away.
# Run it where pip finds the CPU build of torch: a CUDA build would pin its nvidia-* packages too.
set -eu
cd "$(dirname "$0")/.."
env=$(mktemp -d)
trap 'rm -rf "$env"' EXIT
"${PYTHON:-python3}" -m venv "$env"
"$env/bin/pip" install --quiet --disable-pip-version-check --editable '.[book,cluster,dev]'
{
  echo "# The lock: every package pinned. Made by \`make lock\` from the ranges in pyproject.toml."
  # "+cpu" is a local version that only a CPU wheel has: pin the public one
  "$env/bin/pip" freeze --disable-pip-version-check --exclude-editable | sed 's/+cpu$//'
} > requirements.new
mv requirements.new requirements.txt
