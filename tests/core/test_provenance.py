from __future__ import annotations

import os
from pathlib import Path

import pytest

from reperfuse.core import provenance
from reperfuse.core.files import read_json
from reperfuse.core.provenance import Parsed, Stamps, closure, code_digest, digest


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small package: a script that reaches `used` and, through it, `deep`, but not `other`."""
    package = tmp_path / "reperfuse"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("from reperfuse.deep import VALUE\n\ndef f(x):\n    return x + VALUE\n")
    (package / "deep.py").write_text("VALUE = 1\n")
    (package / "other.py").write_text("VALUE = 2\n")
    (tmp_path / "script.py").write_text("from reperfuse.used import f\n\nf(1)\n")
    return tmp_path


def fresh(library: Path) -> str:
    provenance._bytes_digest.cache_clear()
    return code_digest(library / "script.py", library, [])


def test_closure_follows_imports_of_the_package_only(library: Path) -> None:
    names = [path.name for path in closure(library / "script.py", library)]
    assert names == ["__init__.py", "deep.py", "used.py", "script.py"]


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("reperfuse/deep.py", "# a comment\nVALUE   =   1\n", False),
        (
            "reperfuse/used.py",
            '"""Doc."""\nfrom reperfuse.deep import VALUE\n\n\ndef f(x):\n    """Add."""\n    return x + VALUE\n',
            False,
        ),
        ("reperfuse/other.py", "VALUE = 3\n", False),
        ("reperfuse/deep.py", "VALUE = 2\n", True),
        ("script.py", "from reperfuse.used import f\n\nf(2)\n", True),
    ],
)
def test_only_code_that_is_reached_changes_the_digest(
    library: Path, file: str, text: str, changes: bool
) -> None:
    before = fresh(library)
    (library / file).write_text(text)
    assert (fresh(library) != before) is changes


def test_what_is_known_of_the_code_is_taken_by_its_content(library: Path, tmp_path: Path) -> None:
    cache, script = tmp_path / "code.json", library / "script.py"
    parsed = Parsed(cache)
    before = code_digest(script, library, parsed=parsed)
    parsed.save()
    assert code_digest(script, library, parsed=Parsed(cache)) == before == fresh(library)
    os.utime(library / "reperfuse/deep.py", (1, 1))
    assert code_digest(script, library, parsed=Parsed(cache)) == before
    (library / "reperfuse/deep.py").write_text("VALUE = 2\n")
    parsed = Parsed(cache)
    assert code_digest(script, library, parsed=parsed) == fresh(library) != before
    parsed.save()
    assert len(read_json(cache)) == 4, "what is gone is forgotten"


def test_relative_imports_and_further_files_count(library: Path) -> None:
    (library / "reperfuse/used.py").write_text("from .deep import VALUE\nfrom . import other\n")
    assert "other.py" in [path.name for path in closure(library / "script.py", library)]
    lock = library / "lock.txt"
    lock.write_text("numpy==2.3.5\n")
    before = code_digest(library / "script.py", library, [lock])
    provenance._bytes_digest.cache_clear()
    lock.write_text("numpy==2.3.6\n")
    assert code_digest(library / "script.py", library, [lock]) != before


def test_a_moved_clone_has_the_same_digest(library: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = fresh(library)
    moved = tmp_path_factory.mktemp("moved") / "clone"
    library.rename(moved)
    assert fresh(moved) == before


def test_digest_ignores_key_order_and_tells_values_apart() -> None:
    assert digest({"lo": 1, "hi": 2}) == digest({"hi": 2, "lo": 1})
    assert digest({"lo": 1, "hi": 2}) != digest({"lo": 2, "hi": 1})


def test_a_replaced_file_with_an_old_date_gets_a_new_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    stamps = Stamps(tmp_path, tmp_path / "stamps.json")
    first = stamps.of(["a.nii.gz"])
    stamps.save()
    file.write_bytes(b"two")
    os.utime(file, ns=(9 * 10**17, 9 * 10**17))
    assert Stamps(tmp_path, tmp_path / "stamps.json").of(["a.nii.gz"]) != first


def test_stamps_are_cached_by_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    stamps = Stamps(tmp_path, tmp_path / "stamps.json")
    first = stamps.of(["a.nii.gz"])
    stamps.save()
    file.write_bytes(b"two")
    os.utime(file, ns=(10**18, 10**18))
    assert Stamps(tmp_path, tmp_path / "stamps.json").of(["a.nii.gz"]) == first


def test_an_annex_link_is_stamped_by_its_key_without_reading(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").symlink_to(
        "../.git/annex/objects/W1/0f/SHA256E-s3--abc.nii.gz/SHA256E-s3--abc.nii.gz"
    )
    assert Stamps(tmp_path, tmp_path / "s.json").of(["a.nii.gz"]) == {"a.nii.gz": "SHA256E-s3--abc.nii.gz"}


def test_a_file_that_is_gone_has_no_stamp(tmp_path: Path) -> None:
    assert Stamps(tmp_path, tmp_path / "s.json").of(["gone.nii.gz"]) == {}


def test_a_single_file_is_known_by_its_content_and_an_absent_one_by_its_name(tmp_path: Path) -> None:
    file, cache = tmp_path / "far/weights.safetensors", tmp_path / "work/weights-stamps.json"
    assert provenance.stamp_of(file, cache, keep=True) == "weights.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"one")
    first = provenance.stamp_of(file, cache, keep=False)
    assert first == provenance.file_digest(file) and not cache.exists()
    assert provenance.stamp_of(file, cache, keep=True) == first and str(tmp_path) not in cache.read_text()
    file.write_bytes(b"two")  # in place, the card beside it as it was
    os.utime(file, (0, 0))
    assert provenance.stamp_of(file, cache, keep=True) == provenance.file_digest(file) != first
    moved = file.rename(tmp_path / file.name)
    assert provenance.stamp_of(moved, cache, keep=True) == provenance.file_digest(moved)
