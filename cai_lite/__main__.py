"""`python -m cai_lite`: the same as `cai-lite`."""

from cai_lite.cli import main

main()
