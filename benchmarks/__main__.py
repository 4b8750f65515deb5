"""`python -m benchmarks`: run every benchmark; `--short` for continuous integration."""

from benchmarks.decide_floor import main

main()
