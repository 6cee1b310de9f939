# Sourced by the commands beside this folder: `python` becomes the training environment's, made on first use in the
# cache. Training's libraries are pinned in requirements.lock and are no dependency of the appliance.
environment="${XDG_CACHE_HOME:-$HOME/.cache}/appliance/train/venv"
lock="$(pwd)/requirements.lock"
python="$environment/bin/python"
export PYTHONDONTWRITEBYTECODE=1
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 # freed memory is kept: a step is a sixth faster
if ! cmp -s "$lock" "$environment/installed.lock"; then
  for candidate in python3.12 python3.13 python3; do  # the lock's versions need 3.12
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null && break
  done
  "$candidate" -m venv "$environment"
  "$python" -m pip install --quiet --requirement "$lock"
  cp "$lock" "$environment/installed.lock"
fi
