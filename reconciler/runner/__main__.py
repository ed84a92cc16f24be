"""`python -I -S -X utf8 .../reconciler/runner STATE [FD]`: without site packages, so that it stays small."""

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Behind the standard library: nothing that happens to lie beside this package may stand in for a part of it.
    sys.path[:1] = []
    sys.path.append(str(Path(__file__).resolve().parent.parent.parent))

from reconciler.runner.serve import main

main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
