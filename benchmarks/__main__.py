"""`python -m benchmarks`: run every benchmark; `--short` for continuous integration."""

from benchmarks import decide_floor, decide_in_process

decide_in_process.main()
decide_floor.main()
