# Sourced by the commands that evaluate: `environment FOLDER PIP-ARGUMENT…` makes a virtual environment that has these.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/appliance/train"

environment() {
  local folder="$1"; shift
  if [[ "$(cat "$folder/CONTENTS" 2>/dev/null)" != "$*" ]]; then
    python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    echo "$*" > "$folder/CONTENTS"
  fi
}

mapfile -t requirements < "$here/evaluation/requirements.txt"
