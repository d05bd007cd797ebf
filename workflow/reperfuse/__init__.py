"""Acute-stroke imaging workflow. Importing it first seals a rule's environment."""

import os
import sys

# In a conda environment, drop what belongs to another Python: Snakemake appends the path of its own to that of every
# script. What is missing must fail there, not be borrowed silently.
if os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
    _own = os.path.join(sys.prefix, "")
    _parts = ("site-packages", "dist-packages", "lib-dynload")
    sys.path[:] = [
        path
        for path in sys.path
        if path.startswith(_own)
        or not (path.rstrip(os.sep).endswith(_parts) or os.path.isfile(os.path.join(path, "os.py")))
    ]
