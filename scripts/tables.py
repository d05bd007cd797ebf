from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.cohort import summary as cohort
from reperfuse.cohort.external import as_outside
from reperfuse.cohort.status import EXCLUDED_COLUMNS, STATUS_COLUMNS
from reperfuse.core.files import read_json, write_json
from reperfuse.core.tables import write_table
from reperfuse.evaluation.agreement import agreement

with job:
    out = snakemake.output
    manifest, records = as_outside(read_json(snakemake.input.manifest), job.all_records)
    status, excluded = cohort.status_tables(manifest, records)
    write_table(out.index, cohort.index_rows(manifest), cohort.INDEX_COLUMNS)
    write_table(out.participants, *cohort.clinical_rows(manifest))
    write_table(out.status, status, STATUS_COLUMNS)
    write_table(out.excluded, excluded, EXCLUDED_COLUMNS)
    write_table(out.eligibility, cohort.eligibility_rows(manifest), cohort.ELIGIBILITY_COLUMNS)
    write_table(out.quality, cohort.quality_rows(manifest, records), cohort.QUALITY_COLUMNS)
    write_table(out.lesions, cohort.lesion_rows(records), cohort.LESION_COLUMNS)
    write_table(out.growth, cohort.growth_rows(records), cohort.GROWTH_COLUMNS)
    write_table(out.loads, cohort.load_rows(records), cohort.LOAD_COLUMNS)
    write_table(out.perfusion, cohort.perfusion_rows(manifest, records), cohort.PERFUSION_COLUMNS)
    pairs = cohort.volume_pairs(manifest, records)
    agreed = {names: agreement(*zip(*found, strict=True)) for names, found in pairs.items()}
    write_table(out.agreement, cohort.agreement_rows(agreed), cohort.AGREEMENT_COLUMNS)
    write_json(out.summary, cohort.summary(manifest, records))
