import shutil
from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient, key_of
from reperfuse.imaging.volume import write_volume
from reperfuse.learning.device import choose_device, count_devices
from reperfuse.studies.transformation import assemble, bundle, fit, names, scan, voxels

with job:
    out, section = snakemake.output, job.cfg
    fold = int(Path(job.participant_id).name.removeprefix("fold-"))
    state = job.folder / key_of(job.digests)
    paths = scan.arrange(job.files_of("perfusion"))
    records = {who: steps["perfusion"] for who, steps in by_patient(job.all_records).items()}
    device = choose_device(snakemake.config["execution"]["device"])
    cohort = assemble.cohort(section, read_json(snakemake.input.study), records, paths)
    done = fit.run_fold(
        section, cohort, paths, fold=fold, device=device, threads=snakemake.threads, state=state,
        devices=count_devices(device, snakemake.config["execution"]["devices"]),
    )  # fmt: skip
    voxels.write_voxels(out.voxels, done.rows, names.configurations(section))
    for who, likelihood in done.likelihoods.items():
        write_volume(
            job.image(f"{who}_likelihood"),
            likelihood,
            job.sidecar(Sources=[f"bids::work/{who}/PWI_concentration.nii.gz"]),
        )
    bundle.write_models(Path(out.models), done.models, bundle.about(section, fold))
    job.facts.update(done.facts)
    shutil.rmtree(state, ignore_errors=True)  # of no use beside the results
