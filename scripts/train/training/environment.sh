# Sourced by the commands in the folder above: sets `python` to the Python of the training environment, which is made in
# the cache on first use. Training's libraries are pinned in requirements.lock. The appliance does not depend on them.
environment="${XDG_CACHE_HOME:-$HOME/.cache}/appliance/train/venv"
lock="$(pwd)/requirements.lock"
python="$environment/bin/python"
export PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH="$(cd ../.. && pwd)" # for the rule of detection, which is the appliance's own
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 # freed memory is kept: a step is a sixth faster
if ! cmp -s "$lock" "$environment/installed.lock"; then
  for candidate in python3.12 python3.13 python3; do  # the lock's versions need 3.12
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null && break
  done
  "$candidate" -m venv "$environment"
  "$python" -m pip install --quiet --requirement "$lock"
  cp "$lock" "$environment/installed.lock"
fi
