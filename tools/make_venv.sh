#!/bin/sh
# Build the virtual environment $1 from the locked requirements file $2, from nothing, so that what was
# dropped from the file is gone too. Every download is checked against its hash; nothing else is downloaded.
set -eu
venv=$1
requirements=$2

# A name on PATH is not enough: version managers leave launchers there for versions that are not active.
suits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

chosen=
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    if suits "$candidate"; then
        chosen=$candidate
        break
    fi
done
if [ -z "$chosen" ]; then
    echo "error: no Python 3.11, 3.12 or 3.13 with the venv and ensurepip modules found (tried: ${PYTHON:-python3.13 python3.12 python3.11 python3 python})." >&2
    echo "Install one (on Debian and Ubuntu also its python3-venv package), or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

echo "building $venv with $("$chosen" --version) (half a minute, once)"
"$chosen" -m venv --clear "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet"

# Installing is most of the work: uv, itself among the locked requirements, takes a third of pip's time, on all
# cores. pip, which is always there, brings it, and says where this machine gets its packages from.
with_uv() (
    awk '/^[^ #]/ { here = /^uv==/ } here' "$requirements" >"$venv/uv.txt"
    $pip install --require-hashes --no-deps --only-binary :all: -r "$venv/uv.txt" || exit 1
    # Not by $pip: where it is quiet it says nothing.
    settings=$("$venv/bin/python" -m pip --disable-pip-version-check config list)
    # What the environment sets is listed first.
    setting() { printf '%s\n' "$settings" | sed -n "s/^.*[.]$1='\(.*\)'$/\1/p" | sed 1q; }
    index=$(setting index-url) more=$(setting extra-index-url) links=$(setting find-links) cert=$(setting cert)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    [ -z "$more" ] || export UV_INDEX="$more"
    [ -z "$links" ] || export UV_FIND_LINKS="$(printf %s "$links" | tr ' ' ,)"
    [ -z "$cert" ] || export SSL_CERT_FILE="$cert"
    "$venv/bin/uv" --no-config --quiet pip install --python "$venv/bin/python" \
        --require-hashes --no-deps --compile-bytecode -r "$requirements"
)
with_uv || {
    echo "uv can't install here; pip does" >&2
    $pip install --require-hashes --no-deps -r "$requirements"
}
# The build backend is among the locked requirements, so that this downloads nothing.
$pip install --no-deps --no-build-isolation --editable .
$pip check
