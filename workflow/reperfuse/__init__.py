"""Acute-stroke imaging workflow. Importing it first seals a rule's environment."""

import os
import sys

# In a conda environment, drop the site-packages of the Python that runs Snakemake, which Snakemake appends
# to the path of every script: a missing package must fail there, not be borrowed silently.
if os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
    sys.path[:] = [p for p in sys.path if not p.endswith("site-packages") or p.startswith(sys.prefix)]
