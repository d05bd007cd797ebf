"""Claim: `preprocess` costs at most 1.6 times the CPU of the same library calls in two warm workers.

The workflow runs on 16 phantom patients at 24 slices of 256 x 256. Then the very same scripts run over the same
cohort inside two processes that import every library once, without Snakemake. Prints the CPU seconds of both, their
ratio, and where the difference goes: starting Python and importing, measured for each rule, and the rest.
Run: python benchmarks/overhead.py [patients] [in-plane voxels] [slices]
"""

from __future__ import annotations

import json
import os
import re
import resource
import runpy
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))
CONFIG = """\
bids_dir: bids
output_dir: {}
normalise: {{resolution_mm: 4, affine_iterations: [100, 50, 20], syn_iterations: [30, 10]}}
"""


class Named(dict):
    """Stands for Snakemake's named lists."""

    __getattr__ = dict.__getitem__

    def __iter__(self):  # type: ignore[override]
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
    import reperfuse.imaging.prepare  # noqa: F401


def steps(
    config: dict, manifest: dict, out: str
) -> tuple[SimpleNamespace, dict[str, list[tuple[str, SimpleNamespace]]]]:
    """Return the template's job and each patient's jobs, as Snakemake would hand them to the scripts."""
    from reperfuse.cohort import layout

    images = layout.images_of(config["lesions"]["thresholds"])

    def job(
        step: str, sub: str, cfg: dict, src: object, inputs: Named, more: dict[str, str]
    ) -> SimpleNamespace:
        made = [f"{out}/work/{sub}/{name}.nii.gz" for name in images.get(step, ())]
        output = Named(record=f"{out}/work/{sub}/{step}.json", **({"images": made} if made else {}), **more)
        wildcards = {} if sub == "cohort" else {"sub": sub}
        return SimpleNamespace(
            threads=1,
            log=[f"{out}/logs/{step}-{sub}.log"],
            input=inputs,
            output=output,
            params=Named(cfg=cfg, code="benchmark", src=src),
            config=config,
            wildcards=Named(wildcards),
            rule=step,
        )

    template = Named(head=f"{out}/work/template/t1w.nii.gz", brain=f"{out}/work/template/brain.nii.gz")
    resolution = {"resolution_mm": config["normalise"]["resolution_mm"]}
    first = job("template", "cohort", resolution, None, Named(), dict(template))
    chains = {}
    for sub, visits in manifest["active"].items():
        work = f"{out}/work/{sub}"
        mine = layout.steps_of(visits)

        def before(
            step: str,
            names: tuple[str, ...] | None = None,
            sub: str = sub,
            work: str = work,
            mine: list[str] = mine,
            **more,
        ) -> Named:
            records = [
                f"{out}/work/cohort/template.json" if one == "template" else f"{work}/{one}.json"
                for one in layout.AFTER[step]
                if one == "template" or one in mine
            ]
            found = names if names is not None else images["prepare"]
            return Named(records=records, images=[f"{work}/{name}.nii.gz" for name in found], **more)

        raw = {v: {r: f for r, f in roles.items() if r != "lesion"} for v, roles in visits.items()}
        affine = f"{work}/to-MNI_affine.txt"
        warp = (
            [affine, f"{work}/to-MNI_warp.nii.gz", f"{work}/from-MNI_warp.nii.gz"]
            if "normalise" in mine
            else []
        )
        drivers = ("J0_s0", "J0_trace", "J0_adc", "J0_brain", "J0_t1w")
        jobs = {
            "prepare": (raw, Named(), {}),
            "register": (None, before("register"), {}),
            "normalise": (None, before("normalise", drivers, **template), {"affine": affine}),
            "lesions": ({"atlases": {}}, before("lesions", layout.LESIONS_READ, warp=warp), {}),
        }
        chains[sub] = [
            (step, job(step, sub, config[step], src, inputs, more))
            for step, (src, inputs, more) in jobs.items()
            if step in mine
        ]
    return first, chains


def run_chain(chain: list[tuple[str, SimpleNamespace]]) -> float:
    """Run a patient's jobs in this warm process; return their CPU seconds."""
    start = cpu(resource.RUSAGE_SELF)
    for step, snakemake in chain:
        call(step, snakemake)
    return cpu(resource.RUSAGE_SELF) - start


def start_up() -> dict[str, float]:
    """Return the CPU seconds that each rule's script spends before it does anything."""
    found = {}
    for step in ("prepare", "register", "normalise", "lesions"):
        imports = re.findall(
            r"^from reperfuse\.\S+ import .*$", (ROOT / f"scripts/{step}.py").read_text(), re.M
        )
        before = cpu(resource.RUSAGE_CHILDREN)
        code = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow')!r})\n" + "\n".join(imports)
        subprocess.run([sys.executable, "-c", code], check=True)
        found[step] = cpu(resource.RUSAGE_CHILDREN) - before
    return found


def main(n: int = 16, in_plane: int = 256, slices: int = 24) -> None:
    """Print both costs and their ratio."""
    from reperfuse.core.settings import fill, load_schema
    from reperfuse.phantom.dataset import write_cohort

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        settings = fill({}, load_schema(ROOT / "workflow/schemas", "phantom"))
        spacing = [230 / in_plane, 230 / in_plane, 130 / slices]
        settings |= {"n": n, "shape": [in_plane, in_plane, slices], "spacing_mm": spacing, "frames": [40, 41]}
        write_cohort(Path("bids"), Path("truth"), **settings)
        for name in ("workflow", "library"):
            Path(f"{name}.yaml").write_text(CONFIG.format(name))
        snakemake = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--cores",
            "2",
        ]
        before = cpu(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*snakemake, "--configfile", "workflow.yaml", "--quiet", "all", "--", "preprocess"], check=True
        )
        whole = cpu(resource.RUSAGE_CHILDREN) - before
        config = resolved("library.yaml")
        manifest = json.loads(next(Path("workflow/work").glob("manifest-*.json")).read_text())
        config["sessions"] = manifest["sessions"]
        template, chains = steps(config, manifest, "library")
        call("template", template)
        with ProcessPoolExecutor(2, initializer=warm) as pool:
            library = sum(pool.map(run_chain, chains.values()))
        jobs = {
            step: sum(step in dict(chain) for chain in chains.values())
            for step in config
            if step in ("prepare", "register", "normalise", "lesions")
        }
        starts = start_up()
    imports = sum(starts[step] * count for step, count in jobs.items())
    print(
        f"workflow: {whole:.1f} s of CPU; library in two warm workers: {library:.1f} s; ratio {whole / library:.2f}"
    )
    for step, count in jobs.items():
        print(f"  {step}: {count} jobs, {starts[step]:.2f} s each to start Python and import")
    print(
        f"of the {whole - library:.1f} s between them, {imports:.1f} s start Python and import; the rest is Snakemake"
    )


def resolved(path: str) -> dict:
    """Return a configuration with its defaults."""
    import yaml

    from reperfuse.core.settings import resolve

    return resolve(yaml.safe_load(Path(path).read_text()), ROOT / "workflow/schemas")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
