"""Claim: `preprocess` costs at most 1.6 times the CPU of the same library calls in two warm workers.

The workflow runs on phantom patients at 24 slices of 256 × 256. The floor runs the very same scripts over the
same cohort inside two processes that import every library once, without Snakemake. The peer is a process for
each script, as a loop in a shell would have it, without Snakemake: the floor, and what starting Python and
importing take, measured for each rule. Few patients make the ratio larger, not smaller: Snakemake's own start
is shared by fewer.
Run: python benchmarks/overhead.py [patients] [in-plane voxels] [slices]
"""

from __future__ import annotations

import json
import os
import re
import resource
import runpy
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from suite import ROOT, Measured, report, run, snakemake

STEPS = ("prepare", "register", "normalise", "lesions", "perfusion")
MASKS = ("lesion", "ht", "aif")
CONFIG = """\
bids_dir: bids
output_dir: {}
normalise: {{resolution_mm: 4, affine_iterations: [100, 50, 20], syn_iterations: [30, 10]}}
"""


class Named(dict):
    """Stands for Snakemake's named lists."""

    __getattr__ = dict.__getitem__

    def __iter__(self) -> Any:
        for value in self.values():
            yield from value if isinstance(value, list) else [value]


def cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def call(script: str, snakemake: SimpleNamespace) -> None:
    """Run a rule's script in this process, with its log going nowhere else."""
    streams = sys.stdout, sys.stderr
    try:
        for path in snakemake.output:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), init_globals={"snakemake": snakemake})
    finally:
        sys.stdout, sys.stderr = streams


def warm() -> None:
    """Import what the steps import, once per worker."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = "1"
    import reperfuse.imaging.patient_lesions
    import reperfuse.imaging.patient_normalisation
    import reperfuse.imaging.patient_registration
    import reperfuse.imaging.prepare
    import reperfuse.perfusion.patient_perfusion  # noqa: F401


def steps(config: dict, manifest: dict, out: str) -> tuple[SimpleNamespace, dict[str, list[tuple[str, Any]]]]:
    """Return the template's job and each patient's jobs, as Snakemake would hand them to the scripts."""
    from reperfuse.cohort import layout

    def job(
        step: str, sub: str, cfg: dict, src: object, inputs: Named, more: dict[str, str]
    ) -> SimpleNamespace:
        return SimpleNamespace(
            threads=1,
            log=[f"{out}/logs/{step}-{sub}.log"],
            input=inputs,
            output=Named(record=f"{out}/work/{sub}/{step}.json", **more),
            params=Named(cfg=cfg, code="benchmark", src=src),
            config=config,
            wildcards=Named({} if sub == "cohort" else {"sub": sub}),
            rule=step,
        )

    template = Named(head=f"{out}/work/template/t1w.nii.gz", brain=f"{out}/work/template/brain.nii.gz")
    resolution = {"resolution_mm": config["normalise"]["resolution_mm"]}
    first = job("template", "cohort", resolution, None, Named(), dict(template))
    chains: dict[str, list[tuple[str, Any]]] = {}
    # As workflow/rules/perfusion.smk does.
    prepare = config["prepare"]
    limits = ("max_declared_gib", "max_ratio", "allow_no_orientation", "max_nonfinite_percent")
    perfusion = {
        **config["perfusion"],
        "limits": {key: prepare[key] for key in limits},
        "brain": {key: prepare[f"brain_{key}"] for key in ("smoothing_mm", "opening_mm", "edge_mm")},
    }
    for sub, visits in manifest["active"].items():
        mine = layout.steps_of(visits)
        raw = {v: {r: f for r, f in roles.items() if r not in MASKS} for v, roles in visits.items()}
        sources = {"prepare": raw, "lesions": {"atlases": {}}, "perfusion": visits}
        chains[sub] = []
        for step in (one for one in STEPS if one in mine):
            owners = {one: "cohort" if one == "template" else sub for one in layout.AFTER[step]}
            before = [f"{out}/work/{w}/{one}.json" for one, w in owners.items() if one in (*mine, "template")]
            inputs = Named(records=before, **(template if "template" in owners else {}))
            cfg = perfusion if step == "perfusion" else config[step]
            chains[sub].append((step, job(step, sub, cfg, sources.get(step), inputs, {})))
    return first, chains


def run_chain(chain: list[tuple[str, Any]]) -> float:
    """Run a patient's jobs in this warm process; return their CPU seconds."""
    start = cpu(resource.RUSAGE_SELF)
    for step, job in chain:
        call(step, job)
    return cpu(resource.RUSAGE_SELF) - start


def start_up() -> dict[str, float]:
    """Return the CPU seconds that each rule's script spends before it does anything."""
    found = {}
    for step in STEPS:
        script = (ROOT / f"scripts/{step}.py").read_text()
        imports = re.findall(r"^from reperfuse\.\S+ import .*$", script, re.M)
        code = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow')!r})\n" + "\n".join(imports)
        found[step] = run([sys.executable, "-c", code], ROOT).cpu_s
    return found


def costs(n: int, in_plane: int, slices: int) -> tuple[float, float, float]:
    """Return the CPU seconds of the workflow, of the warm library, and of start-up."""
    from reperfuse.core.settings import fill, load_schema
    from reperfuse.phantom.dataset import write_cohort

    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        settings = fill({}, load_schema(ROOT / "workflow/schemas", "phantom"))
        spacing = [230 / in_plane, 230 / in_plane, 130 / slices]
        settings |= {"n": n, "shape": [in_plane, in_plane, slices], "spacing_mm": spacing, "frames": [40, 41]}
        write_cohort(Path("bids"), Path("truth"), **settings)
        for name in ("workflow", "library"):
            Path(f"{name}.yaml").write_text(CONFIG.format(name))
        called = ("preprocess", "--cores", "2", "--configfile", "workflow.yaml", "--quiet", "all")
        whole = run(snakemake(*called), Path(folder)).cpu_s
        config = resolved("library.yaml")
        manifest = json.loads(next(Path("workflow/work").glob("manifest-*.json")).read_text())
        config["sessions"] = manifest["sessions"]
        template, chains = steps(config, manifest, "library")
        call("template", template)
        with ProcessPoolExecutor(2, initializer=warm) as pool:
            library = sum(pool.map(run_chain, chains.values()))
        os.chdir(before)
    starts = start_up()
    print(f"{n} patients; to start Python and import, s: { ({k: round(v, 2) for k, v in starts.items()}) }")
    return whole, library, sum(starts[step] for chain in chains.values() for step, _ in chain)


def measure(n: int = 6, in_plane: int = 256, slices: int = 24) -> list[Measured]:
    """Preprocess a cohort and half of it."""
    rows = []
    for size in (n, n // 2):
        whole, library, starts = costs(size, in_plane, slices)
        rows.append(
            Measured(
                f"preprocess, {slices}×{in_plane}×{in_plane}", whole, "s", size, "patients", cpu_s=whole,
                peer=library + starts, peer_is="a process for each script, without Snakemake",
                floor=library, floor_is="the same library calls in two warm workers",
                aim="ours/floor <= 1.6" if size == n else "",
            )
        )  # fmt: skip
    return rows


def resolved(path: str) -> dict:
    """Return a configuration with its defaults."""
    import yaml

    from reperfuse.core.settings import resolve

    return resolve(yaml.safe_load(Path(path).read_text()), ROOT / "workflow/schemas")


if __name__ == "__main__":
    sys.exit(report(measure))
