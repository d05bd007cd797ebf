# What the main process does before and after a run: looks at what is there, keeps others out, tells jobs what is settled.
def settle():
    """Write down what every job needs to know, under the name of its content."""
    PARSED.save()
    write_plan(Path(".snakemake/reperfuse"), {**PLAN, "config": config})
    gc.freeze()  # for good: thousands of jobs are about to be made, and each search for rubbish would look here again


def take_up():
    """Before a run, look at what earlier ones have left: finished steps, results without Snakemake's memory."""
    memory = Path(".snakemake")
    below = os.path.join(os.path.realpath(config["output_dir"]), "")
    names = [name for path in memory.glob("locks/*") for name in lines_of(path)]
    locked = any(os.path.realpath(name).startswith(below) for name in names)
    if locked or claimed(Path(WORK)):  # a run is at work there, or was killed
        logger.warning(
            f"What earlier runs have left in {config['output_dir']} is not looked at: another one is at work there, "
            "or was killed and has left its lock, which `snakemake --unlock` takes away."
        )
        return
    kept.forget_trusted(WORK, memory / "incomplete")
    found = reconcile(dict(expected_results()), memory / "metadata")
    if found.current or found.stale:
        logger.info(
            f"Results without Snakemake's memory: {found.current} current, {len(found.stale)} stale "
            "and to be made again."
        )


def begin():
    """What comes first in a run, beyond Snakemake's own lock: nobody else may write, and who is in which fold is set."""
    before, _ = announced(Path(WORK))
    try:
        mine = claim(Path(WORK))
    except OSError as error:
        raise WorkflowError(
            f"{error.filename} cannot be written ({error.strerror}); make `output_dir` a folder that you may write to."
        ) from None
    if not mine:
        raise WorkflowError(
            f"Another run is writing to {config['output_dir']}. Wait until it has ended, "
            "or give this one another `output_dir`."
        )
    folders = dict.fromkeys([os.getcwd(), before or os.getcwd()])
    try:
        queued = [job for one in folders for job in still_queued(Path(one), Path(config["output_dir"]))]
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    if queued:
        raise WorkflowError(
            f"Jobs that may be writing to {config['output_dir']} are still in Slurm's queue, from a run that was killed: "
            f"{' '.join(queued)}. Wait until they have ended, or, if no other run has submitted them, end them with "
            f"`scancel {' '.join(queued)}`, and start again: two jobs must not write the same files."
        )
    announce(os.environ["REPERFUSE_PLAN"])
    asked = workflow.dag_settings
    if asked.forceall or asked.forcerun or asked.forcetargets:
        kept.forget_all(WORK)
    write_drawn(cohort, Path(config["output_dir"]))


def end():
    """What comes last in a run that ended by itself."""
    release()
    kept.forget_trusted(WORK, Path(".snakemake/incomplete"))


def as_made_now(step, owner, after):
    """A result as it would be made now; its owner is a patient, chunk, part, fold or trial, ``cohort``, or a cohort."""
    made = getattr(rules, step)
    wildcards = SimpleNamespace(
        sub=owner,
        chunk=owner,
        part=owner,
        fold=owner.rpartition("/")[2],
        trial=owner.rpartition("/")[2],
        external=owner.removeprefix("external/"),
    )
    cfg, src = (getattr(made.params, name, None) for name in ("cfg", "src"))
    return Expected(
        cfg=(cfg(wildcards) if callable(cfg) else cfg) or {},
        code=made.params.code,
        src=src(wildcards) if callable(src) else src,
        after={f"{sub}/{one}": record(one, sub) for sub, one in after},
        files=[str(path).format(**vars(wildcards)) for path in [*made.output, made.benchmark]],
    )


def expected(step, owner, after):
    """Record of a result, and what tells how it would be made now from the results of other owners and steps."""
    return record(step, owner), lambda: as_made_now(step, owner, after() if callable(after) else after)


def expected_results():
    """Yield every result, each after those that it is made from."""
    yield expected("template", "cohort", [])
    for sub, steps in STEPS.items():
        for step in steps:
            yield expected(step, sub, partial(before_of, sub, step))
    imaging, pages = of_all(*IMAGING), of_all("page")
    yield expected("tables", "cohort", imaging)
    yield expected("publish", "cohort", imaging)
    yield from expected_outcome()
    yield from expected_severity()
    yield from expected_transformation()
    yield from expected_fusion()
    studies = [("cohort", f"{study}_page") for study in STUDY_PAGES]
    shared = [("cohort", "tables"), ("cohort", "publish")]
    yield expected("report", "cohort", [*shared, *imaging, *pages, *studies])
    for name in EXTERNAL:
        yield expected("external_tables", f"external/{name}", of_all(*IMAGING, cohort=name))
