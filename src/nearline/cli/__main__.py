"""`python -m nearline.cli`."""

from nearline.cli import main

main()
