#!/bin/sh
# Write requirements/*.txt from pyproject.toml: exact versions with hashes, one file for Python 3.11 to 3.13.
# No line names an index: where packages come from is the machine's business.
set -eu
compile() {
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header "$@"
}
compile "$@" pyproject.toml -o requirements/runtime.txt
compile "$@" --group build -o requirements/build.txt
# What runs in tests is what runs in production: the same versions.
compile "$@" pyproject.toml --extra plots --group dev --group build \
    -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
