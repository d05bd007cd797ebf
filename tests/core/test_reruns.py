from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from reperfuse.core.files import write_json
from reperfuse.core.records import digests_of, key_of, read_record, write_record
from reperfuse.core.reruns import Expected, aside, reconcile, remembered

Results = dict[str, Callable[[], Expected]]


def make(tmp_path: Path, *, code: str = "c1", unit: str = "auto") -> Results:
    """A chain of two results of one patient, as it would be made with some code and configuration."""
    one, two = str(tmp_path / "prepare.json"), str(tmp_path / "lesions.json")
    return {
        one: lambda: Expected({"unit": unit}, "c0", {"J0": "stamp"}, {}, [one]),
        two: lambda: Expected({"cut": 620}, code, None, {"prepare": one}, [two]),
    }


def write(results: Results) -> None:
    keys: dict[str, str] = {}
    for record, made in results.items():
        one = made()
        digests = digests_of(one.cfg, one.code, one.src, {s: keys[p] for s, p in one.after.items()})
        keys[record] = key_of(digests)
        step = Path(record).stem
        write_record(record, participant_id="sub-1", step=step, faults=[], facts={}, digests=digests)


def test_current_results_stay(tmp_path: Path) -> None:
    write(make(tmp_path))
    found = reconcile(make(tmp_path), tmp_path / "metadata")
    assert (found.current, found.stale) == (2, ())


def test_stale_results_are_dated_back_and_current_again_with_the_old_code(tmp_path: Path) -> None:
    write(make(tmp_path))
    lesions = tmp_path / "lesions.json"
    found = reconcile(make(tmp_path, code="c2"), tmp_path / "metadata")
    assert (found.current, found.stale) == (1, (str(lesions),))
    assert lesions.stat().st_mtime == 1
    assert reconcile(make(tmp_path), tmp_path / "metadata").current == 2
    assert lesions.stat().st_mtime >= (tmp_path / "prepare.json").stat().st_mtime


def test_a_stale_result_without_inputs_is_put_aside_and_comes_back(tmp_path: Path) -> None:
    expected = make(tmp_path)
    write(expected)
    prepare = tmp_path / "prepare.json"
    other = make(tmp_path, unit="mm2/s")
    assert reconcile(other, tmp_path / "metadata").stale == (str(prepare), str(tmp_path / "lesions.json"))
    assert not prepare.exists() and aside(prepare).exists()
    assert reconcile(expected, tmp_path / "metadata").current == 2
    assert read_record(prepare)["step"] == "prepare"


def test_a_result_of_another_result_is_stale(tmp_path: Path) -> None:
    """The lesions are of today's code, but of an image that would come out differently."""
    write(make(tmp_path, unit="mm2/s"))
    old = make(tmp_path)
    assert reconcile(old, tmp_path / "metadata").stale == tuple(old)


def test_what_snakemake_remembers_is_left_to_it(tmp_path: Path) -> None:
    write(make(tmp_path))
    metadata = tmp_path / "metadata"
    for record in make(tmp_path):
        name = urlsafe_b64encode(record.encode()).decode()
        parts = [name[i : i + 254] for i in range(0, len(name), 254)]
        path = metadata.joinpath(*("@" + part for part in parts[:-1]), parts[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert remembered(record, metadata)
    found = reconcile(make(tmp_path, code="c2"), metadata)
    assert (found.current, found.stale) == (0, ())


def test_only_what_has_to_be_judged_is_asked_how_it_would_be_made(tmp_path: Path) -> None:
    def unasked() -> Expected:
        raise AssertionError

    write(make(tmp_path))
    others = {str(tmp_path / f"sub-{i}.json"): unasked for i in range(3)}
    assert reconcile({**others, **make(tmp_path)}, tmp_path / "metadata").current == 2


def test_dates_mixed_up_by_copying_are_put_in_order(tmp_path: Path) -> None:
    write(make(tmp_path))
    os.utime(tmp_path / "lesions.json", (1, 1))
    reconcile(make(tmp_path), tmp_path / "metadata")
    assert (tmp_path / "lesions.json").stat().st_mtime >= (tmp_path / "prepare.json").stat().st_mtime


@pytest.mark.parametrize("content", [None, "half"])
def test_a_record_whose_files_are_not_whole_is_stale(content: str | None, tmp_path: Path) -> None:
    write(make(tmp_path))
    prepare, image = tmp_path / "prepare.json", tmp_path / "J0_adc.nii.gz"
    write_json(prepare, {**read_record(prepare), "files": {image.name: 5}})
    image.write_text("image")
    assert reconcile(make(tmp_path), tmp_path / "metadata").current == 2
    image.write_text(content) if content else image.unlink()
    assert reconcile(make(tmp_path), tmp_path / "metadata").stale == (str(prepare),)
