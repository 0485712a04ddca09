# Runs the bench of the script that sources this: NAME.py beside NAME.sh, in a virtual environment
# with the packages of requirements.txt, which is kept in XDG_CACHE_HOME (default ~/.cache).
# shellcheck shell=bash
set -euo pipefail
benches=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/imagepool-bench/venv

# The list is copied last, so that an installation which was interrupted is done again.
if ! cmp --quiet "$benches/requirements.txt" "$venv/requirements.txt"; then
    echo "installing Python packages to $venv" >&2
    mkdir -p "$(dirname "$venv")"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement "$benches/requirements.txt" >&2
    cp "$benches/requirements.txt" "$venv/requirements.txt"
fi
name=$(basename "$0" .sh)
exec "$venv/bin/python" -B "$benches/$name.py" "$@"
