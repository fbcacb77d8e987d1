"""What the command line does before a command runs: its page, its names, its paths, and whether it joins a job."""

import importlib
import inspect
import os
from pathlib import Path

import pytest

from ssni_jax import cli
from ssni_jax.cli import ALONE, COMMANDS, main
from ssni_jax.commands.arguments import check_local, is_independent, placed
from ssni_jax.commands.evaluate import Evaluate
from ssni_jax.commands.overview import page, summaries
from ssni_jax.commands.report import Status
from ssni_jax.commands.train import Train
from ssni_jax.files.remote import RemotePath
from ssni_jax.lifecycle import several
from tests.test_cli import refused

SLURM = {"SLURM_STEP_NODELIST": "a,b", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_says_of_a_command_what_its_docstring_says(name):
    module, _, kind = COMMANDS[name].partition(".")
    docstring = inspect.getdoc(getattr(importlib.import_module(f"ssni_jax.commands.{module}"), kind))
    assert summaries(COMMANDS)[name] == " ".join(docstring.split("\n\n")[0].split())


@pytest.mark.parametrize("columns", [20, 80, 300])
def test_the_page_fits_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, page(COMMANDS).splitlines())) <= min(max(columns, 60), 120)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], [], ["--debug"]])
def test_the_page_and_the_version_need_no_command(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("ssni " if "--version" in arguments else "usage: ssni")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evalute"], "no command 'evalute': did you mean evaluate?"),
        (["Certify"], "did you mean certify?"),
        (["check_gradient"], "did you mean check-gradient?"),
        (["zzzz"], "choose one of demo, purify"),
        (["--workdir", "x", "status"], "--workdir stands where the command should"),
        ([""], "no command ''"),
    ],
)
def test_a_name_that_is_no_command_is_refused_with_the_nearest(arguments, words, capsys):
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize("url", ["gs://b/x", "s3://b/x", "hdfs://n/x", "https://h/x", "file:///x", "GS://b"])
def test_a_url_is_no_path(url):
    with pytest.raises(ValueError, match=r"--workdir cannot be \w+://.*mount the storage"):
        check_local(Train(Path("x.py"), Path(url)))


@pytest.mark.parametrize("url", ["gs://b/x", "s3://b/x", "memory://x"])
def test_a_workdir_may_lie_on_a_store_and_becomes_a_path_of_it(url):
    command = placed(Evaluate(Path("x.py"), Path(url)))
    assert isinstance(command.workdir, RemotePath) and str(command.workdir) == url
    assert type(placed(Status(Path("runs/x"))).workdir) is type(Path())


def test_a_store_that_nobody_knows_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="--workdir cannot be hdfs://n/x, because of stores only gs://, "):
        check_local(Status(Path("hdfs://n/x")))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", "x.py", "--shard", "0/4"], True),
        (["evaluate", "x.py", "--shard=0/4"], True),
        (["evaluate", "x.py", "--lease"], True),
        (["evaluate", "x.py", "--shards"], False),
    ],
)
def test_a_process_that_names_its_share_joins_no_job(arguments, expected, monkeypatch):
    monkeypatch.delenv("SSNI_ALONE", raising=False)
    for key, value in SLURM.items():
        monkeypatch.setenv(key, value)
    assert is_independent(arguments) is expected
    joined = []
    monkeypatch.setattr(cli, "supervise", lambda environment: joined.append("supervised"))
    monkeypatch.setattr(cli, "run", lambda arguments, stopper: joined.append(several(os.environ)))
    monkeypatch.setattr("os.environ", dict(os.environ))
    main(arguments)
    assert joined == ([False] if expected else ["supervised", True])


@pytest.mark.parametrize(("error", "code"), [(TimeoutError, 75), (ConnectionError, 75), (OSError, 2), (ValueError, 2)])
def test_what_may_work_the_next_time_restarts_the_job(error, code, monkeypatch, capsys):
    def fails(arguments, stopper):
        raise error("It did not answer: run the same command again.")

    monkeypatch.setattr(cli, "run", fails)
    with pytest.raises(SystemExit) as end:
        main(["status", "."])
    assert (
        end.value.code == code and capsys.readouterr().err == "ssni: It did not answer: run the same command again.\n"
    )


def test_a_training_is_not_divided_among_independent_processes(capsys, monkeypatch):
    monkeypatch.setattr("os.environ", dict(os.environ))
    assert "ssni train is not divided" in refused(capsys, "train", "x.py", "--workdir", "w", "--lease")


@pytest.mark.parametrize("path", ["runs/x", "C:/x", "a:b", "/gs/x", "x/gs:/y"])
def test_a_path_with_a_colon_is_still_a_path(path):
    check_local(Status(Path(path)))


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "x.py", "--workdir", "s3://b/x"],
        ["train", "gs://b/x.py", "--workdir", "w"],
        ["calibrate", "hdfs://b/network"],
        ["convert", "x.pth", "--family", "edm", "--out", "gs://b"],
        ["calibrate", "x", "source:image-folder", "--source.path", "gs://b/x"],
    ],
)
def test_no_command_makes_a_folder_of_a_url(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "only local and mounted paths" in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ""])
def test_a_converted_network_stays_in_its_directory(name, tmp_path, capsys):
    command = ["convert", "x.pth", "--family", "edm", "--out", str(tmp_path), f"--name={name}"]
    assert "--name must be a file name" in refused(capsys, *command)


def test_a_text_that_is_no_path_may_hold_a_slash_and_a_colon():
    check_local(Train(Path("x.py"), Path("w")))


@pytest.mark.parametrize("name", ALONE)
def test_a_command_that_only_looks_at_files_joins_no_job(name, monkeypatch, capsys):
    for key, value in SLURM.items():
        monkeypatch.setenv(key, value)

    def fails(*_):
        raise AssertionError("it joined")

    class Command:
        def run(self, overrides):
            print("ran")

    monkeypatch.setattr(cli, "supervise", fails)
    monkeypatch.setattr("ssni_jax.dist.processes.start_processes", fails)
    monkeypatch.setattr(cli, "parse", lambda arguments: (Command(), []))
    main([name])
    assert capsys.readouterr().out == "ran\n"
    with pytest.raises(AssertionError, match="it joined"):
        main(["evaluate"])


def test_a_reader_of_the_output_that_has_enough_ends_the_command_in_silence(monkeypatch, capsys):
    def broken(self, overrides):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(Status, "run", broken)
    monkeypatch.setattr("os.dup2", lambda *descriptors: None)
    with pytest.raises(SystemExit) as end:
        main(["status", "."])
    assert end.value.code == 141 and capsys.readouterr().err == ""
