from pathlib import Path

from reperfuse.core.job import Job

job = Job(snakemake)

from reperfuse.core.files import read_json
from reperfuse.core.records import by_patient
from reperfuse.core.tables import read_table, write_table
from reperfuse.evaluation.interface import Prediction
from reperfuse.studies.severity import saliency

with job:
    pass  # TODO
