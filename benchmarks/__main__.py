"""`python -m benchmarks`: all of them."""

from benchmarks.run import main

main()
