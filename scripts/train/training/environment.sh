# Sourced by the commands beside this folder: `python` becomes the training environment's, made on first use in the
# cache. Training's libraries are pinned in requirements.lock and are no dependency of the appliance.
environment="${XDG_CACHE_HOME:-$HOME/.cache}/appliance/train/venv"
lock="$(pwd)/requirements.lock"
python="$environment/bin/python"
export PYTHONDONTWRITEBYTECODE=1
if ! cmp -s "$lock" "$environment/installed.lock"; then
  python3 -m venv "$environment"
  "$python" -m pip install --quiet --requirement "$lock"
  cp "$lock" "$environment/installed.lock"
fi
