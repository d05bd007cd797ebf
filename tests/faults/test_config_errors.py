"""A configuration that cannot be used: one readable sentence, nothing run, nothing written among raw data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.faults.build_faults import ROOT, put
from tests.faults.conftest import snakemake, snapshot

Done = CompletedProcess[str]


@dataclass
class Place:
    """A folder with a small dataset under ``bids``, and a way to run the workflow there."""

    folder: Path

    def run(self, config: str, *arguments: str) -> Done:
        put(self.folder / "config.yaml", config)
        return snakemake(self.folder, ROOT, "preprocess", *arguments, "--configfile", "config.yaml")

    def refused(self, config: str) -> str:
        """Run, and return what the user reads; the message comes from the workflow, not from a crash."""
        before = snapshot(self.folder / "bids")
        done = self.run(config)
        assert snapshot(self.folder / "bids") == before, "the dataset is only read"
        assert done.returncode == 1
        assert "WorkflowError" in done.stderr and "Traceback" not in done.stderr
        assert not [path for path in self.folder.glob("results/*") if path.name != "work"], "nothing was run"
        return done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "étude 1"
    put(folder / "bids/dataset_description.json", '{"Name": "x", "BIDSVersion": "1.11.1"}\n')
    put(folder / "bids/sub-1/ses-01/dwi/sub-1_ses-01_ADC.nii.gz", b"\x1f\x8b")
    put(folder / "bids/participants.tsv", "participant_id\tage\nsub-1\t70\n")
    (folder / "through").symlink_to("bids")
    return Place(folder)


GOOD = "bids_dir: bids\noutput_dir: results\n"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (GOOD + "lesion: {}\n", "`lesion` is not a key of the top level; did you mean `lesions`?"),
        (
            GOOD + "prepare: {adc_unit: auto}\n",
            "`adc_unit` is not a key of prepare; did you mean `adc_units`?",
        ),
        (GOOD + "lesions: {thresholds: six}\n", "`lesions.thresholds` is 'six'; expected array."),
        ("output_dir: results\n", "`bids_dir` is missing at the top level; add it."),
        (
            "bids_dir: bidz\noutput_dir: results\n",
            "`bids_dir` is bidz, which is not a folder; give the path of a BIDS dataset.",
        ),
        (
            GOOD + "atlases: {arterial: {image: gone.nii.gz, labels: gone.txt}}\n",
            "`atlases.arterial.image` is gone.nii.gz, which cannot be read; give its path.",
        ),
        (
            GOOD + "clinical: {tables: [phenotype/gone.tsv]}\n",
            "`clinical.tables` names phenotype/gone.tsv, which is not in bids; give paths relative to the dataset.",
        ),
        (
            GOOD + "studies: {outcome: {frozen_folds: gone.tsv}}\n",
            "The fold table gone.tsv cannot be read; restore it, or correct its path.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(config: str, sentence: str, place: Place) -> None:
    assert sentence in place.refused(config)


@pytest.mark.parametrize(
    "output",
    [
        "bids",
        "bids/results",
        "bids/sub-1/derivatives/x",
        "results/../bids/x",
        "through/x",
        "bids/derivatives",
    ],
)
def test_results_never_land_among_raw_data(output: str, place: Place) -> None:
    said = place.refused(f"bids_dir: bids\noutput_dir: {output}\n")
    assert f"`output_dir` is {output}, inside the dataset bids" in said
    assert "give a place outside it or below its derivatives/." in said


def test_results_may_lie_below_derivatives(place: Place) -> None:
    before = snapshot(place.folder / "bids/sub-1")
    done = place.run("bids_dir: bids\noutput_dir: bids/derivatives/reperfuse\n", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert snapshot(place.folder / "bids/sub-1") == before


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [touch pwned]", "!!python/name:os.system"])
def test_python_in_the_configuration_is_refused_and_not_run(tag: str, place: Place) -> None:
    done = place.run(f"bids_dir: bids\noutput_dir: results\nstudies: {tag}\n")
    assert done.returncode == 1
    assert not list(place.folder.rglob("pwned"))
    assert not (place.folder / "results").exists()
