"""Tools to build a BIDS cohort with one fault per patient; the faults themselves are in the modules of cases."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from reperfuse.core.seeds import seed_of
from reperfuse.core.settings import fill, load_schema
from reperfuse.imaging.volume import Volume, encode
from reperfuse.phantom.dataset import FILES, write_cohort

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"n": 4, "shape": [32, 36, 12], "spacing_mm": [6.5, 6.5, 12.0], "frames": [30, 30]}
# A large infarct in one hemisphere; both visits and every contrast are there.
MODEL = "sub-0004"
PHANTOM_UNIT = 1e6  # its scanner stores ADC in mm²/s

Bases = dict[str, Volume]


def phantom(folder: Path) -> Bases:
    """Return images of one synthetic patient by role, ADC in 10⁻⁶ mm²/s, and the truth of brain and lesion."""
    settings = fill({}, load_schema(ROOT / "workflow/schemas", "phantom"))
    never = {"pwi_missing_mild": 0.0, "pwi_missing_other": 0.0, "left_before_j1": 0.0, "mcar": {}}
    write_cohort(folder / "bids", folder / "truth", **{**settings, **never, **SMALL})
    found = {}
    for name in ("J0_brain", "J0_lesion"):
        truth: Any = nib.load(folder / f"truth/{MODEL}/{name}.nii.gz")
        found[name] = Volume(truth.get_fdata(), truth.affine)
    for role, (kind, suffix) in FILES.items():
        session = "02" if role == "gre" else "01"
        path = folder / f"bids/{MODEL}/ses-{session}/{kind}/{MODEL}_ses-{session}_{suffix}.nii.gz"
        image: Any = nib.load(path)
        scale = PHANTOM_UNIT if role == "adc" else 1.0
        found[role] = Volume((image.get_fdata() * scale).astype(np.float32), image.affine)
    return found


def patched(content: bytes, **fields: Any) -> bytes:
    """Return an image with fields of its NIfTI header set as they are, and the rest untouched."""
    plain = bytearray(gzip.decompress(content))
    header = np.frombuffer(plain, nib.nifti1.header_dtype, 1)
    for name, value in fields.items():
        header[name] = value
    return gzip.compress(bytes(plain), 4, mtime=0)


@dataclass(frozen=True)
class Patient:
    """Writes the files of one patient.

    Parameters
    ----------
    bids : Path
        The dataset.
    sub : str
        ``sub-…``
    bases : dict
        What its images are made from.
    """

    bids: Path
    sub: str
    bases: Bases

    def volume(self, role: str, session: str = "02") -> Volume:
        """Return an image that nobody else has: the model's with 1 % of noise of the patient's own."""
        base = self.bases[role]
        random = np.random.default_rng(seed_of("faults", self.sub, role, session))
        noise = random.normal(1.0, 0.01, base.data.shape)
        return base.like((base.data * noise).astype(np.float32))

    def path(self, role: str, session: str = "02", entities: str = "", extension: str = ".nii.gz") -> Path:
        """Return where an image of a role lies; ``entities`` such as ``run-1`` come before the suffix."""
        kind, suffix = FILES[role]
        name = "_".join(part for part in (self.sub, f"ses-{session}", entities, suffix) if part)
        return self.bids / self.sub / f"ses-{session}" / kind / f"{name}{extension}"

    def mask_path(self, session: str = "02") -> Path:
        """Return where a reader's lesion mask lies."""
        name = f"{self.sub}_ses-{session}_label-L_desc-manual_mask.nii.gz"
        return self.bids / "derivatives/manual" / self.sub / f"ses-{session}/dwi" / name

    def write(self, *roles: str, session: str = "02") -> None:
        """Write faultless images."""
        for role in roles:
            put(self.path(role, session), encode(self.volume(role, session)))

    def mask(self, data: np.ndarray, affine: np.ndarray | None = None) -> None:
        """Write a reader's lesion mask of the second visit."""
        put(self.mask_path(), encode(Volume(data, self.bases["adc"].affine if affine is None else affine)))

    @property
    def brain(self) -> np.ndarray:
        """The model's brain."""
        return self.bases["J0_brain"].data > 0

    @property
    def infarct(self) -> np.ndarray:
        """The model's lesion."""
        return self.bases["J0_lesion"].data > 0


def put(path: Path, content: bytes | str) -> None:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@dataclass(frozen=True)
class Case:
    """A patient with one fault, and what the workflow makes of it.

    Parameters
    ----------
    rows : tuple of int
        Rows of the catalogue of faults.
    sub : str
        ``sub-<code><name of the function>``.
    code : str
        The one finding that is expected of the files; empty where none is.
    step : str
        Step in whose row of ``status.tsv`` it stands.
    file : str
        End of the file's name; empty where the finding is about no file.
    says : tuple of str
        Words that reason and remedy must hold.
    spared : tuple of str
        Intermediate images that are made all the same.
    lost : tuple of str
        Intermediate images that are not made.
    volumes : bool or None
        Whether the patient has rows in ``lesions.tsv``; None where the case does not care.
    study : str
        Where it stands in ``excluded.tsv``: ``imaging``, ``all``, or the study that is not possible.
    cells : mapping or None
        Cells of the patient's row in ``participants.tsv`` that differ from a plausible one; None for no row.
    make : callable
        Writes the patient's files.
    """

    rows: tuple[int, ...]
    sub: str
    code: str
    step: str
    file: str
    says: tuple[str, ...]
    spared: tuple[str, ...]
    lost: tuple[str, ...]
    volumes: bool | None
    study: str
    cells: Mapping[str, str] | None
    make: Callable[[Patient], None]


CASES: list[Case] = []
PLAUSIBLE = {"age": "71,5", "sex": "F", "nihss": "9", "mrs_3m": "2"}


def case(
    rows: int | tuple[int, ...],
    code: str = "",
    *,
    step: str = "prepare",
    file: str = "ADC.nii.gz",
    says: tuple[str, ...] = (),
    spared: tuple[str, ...] = (),
    lost: tuple[str, ...] = (),
    volumes: bool | None = None,
    study: str = "imaging",
    cells: Mapping[str, str] | None = PLAUSIBLE,
) -> Callable[[Callable[[Patient], None]], Callable[[Patient], None]]:
    """Register a function that writes a patient; most have the second visit alone, which is not normalised."""

    def register(make: Callable[[Patient], None]) -> Callable[[Patient], None]:
        sub = f"sub-{code.lower()}{make.__name__.replace('_', '')}"
        numbers = (rows,) if isinstance(rows, int) else rows
        CASES.append(
            Case(
                numbers,
                sub,
                code,
                step,
                file if code else "",
                says,
                spared,
                lost,
                volumes,
                study,
                cells,
                make,
            )
        )
        return make

    return register
