"""The command: what it asks of Snakemake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reperfuse import cli


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    return tmp_path


def after(call: list[str], option: str) -> str:
    return call[call.index(option) + 1]


def parsed(call: list[str]) -> dict[str, object]:
    from snakemake.cli import parse_config

    first = call.index("--config") + 1
    return dict(parse_config(call[first : first + 2]))


def test_the_two_folders_suffice(dataset: Path) -> None:
    call = cli.command(["bids", "out"])
    assert call[1:3] == ["-m", "snakemake"]
    assert parsed(call) == {"bids_dir": "bids", "output_dir": "out"}
    assert after(call, "--cores") == "all"
    assert "--dry-run" not in call
    root = cli.workflow_root()
    assert Path(after(call, "--snakefile")) == root / "Snakefile"
    assert Path(after(call, "--workflow-profile")) == root / "profiles/default"
    assert Path(after(call, "--configfile")) == root / "config/config.yaml"
    assert (root / "Snakefile").is_file()
    assert (root / "profiles/default/config.yaml").is_file()


def test_snakemake_understands_the_call(dataset: Path) -> None:
    from snakemake.cli import parse_args

    (dataset / "mine.yaml").write_text("sessions: {}\n")
    call = cli.command(
        ["bids", "--config", "mine.yaml", "out", "preprocess", "-n", "--cores", "2", "--", "--keep-going"]
    )
    _, args = parse_args(call[3:])
    assert set(args.targets) == {"preprocess"}
    assert args.cores == 2
    assert args.dryrun
    assert args.keep_going
    assert [Path(f).name for f in args.configfile] == ["mine.yaml"]
    assert args.scheduler == "greedy"  # from the profile


PLACES = st.text(st.characters(codec="utf-8"), min_size=1) | st.from_regex(r"[\w .,+=@()/-]+", fullmatch=True)


@given(PLACES)
def test_a_plain_path_stays_text_in_snakemake_and_in_its_jobs(path: str) -> None:
    from snakemake.cli import parse_config
    from snakemake.common import dict_to_key_value_args

    assume(cli.is_plain(path))
    config = parse_config([f"output_dir={path}"])
    assert config == {"output_dir": path}
    assert parse_config(dict_to_key_value_args(config)) == {"output_dir": path}


@pytest.mark.parametrize(
    "path", ["123", "1e5", ".5", "nan", "True", "a: b", "it's'", "-", "~", "a #b", "[x]"]
)
def test_a_path_that_snakemake_would_misread_is_refused(path: str) -> None:
    assert not cli.is_plain(path)


@pytest.mark.parametrize("path", ["bids", "/data/ds-01", "../my study (2)", ".", "données/étude", "a.b=c"])
def test_common_paths_are_plain(path: str) -> None:
    assert cli.is_plain(path)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere", "out"], "nowhere is not a folder"),
        (["bids"], "output_dir"),
        (["bids", "2024"], "misread `2024`"),
        (["bids", "out", "--config", "no.yaml"], "no.yaml is not there"),
        (["bids", "out", "--", "--config", "a1=b"], "`--config` cannot stand after `--`"),
        (["bids", "out", "--", "--configfile=x"], "`--configfile=x` cannot stand after `--`"),
        (["bids", "out", "--core", "2"], "--core"),
    ],
)
def test_what_cannot_be_used_is_said(
    dataset: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.command(arguments)
    assert stop.value.code == 2
    assert reason in capsys.readouterr().err


def test_help_says_research_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.command(["--help"])
    assert stop.value.code == 0
    assert "not a medical device" in capsys.readouterr().out


def test_main_becomes_snakemake(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda path, call: called.append((path, call)))
    monkeypatch.setattr(cli.sys, "argv", ["reperfuse", "bids", "out", "-n"])
    cli.main()
    [(path, call)] = called
    assert path == call[0] == cli.sys.executable
    assert call == cli.command(["bids", "out", "-n"])
