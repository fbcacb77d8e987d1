"""Independent processes that share the blocks of a run: nothing twice, nothing left, and nobody waits for the dead."""

import json
import os
import socket
from contextlib import nullcontext

import pytest

from ssni_jax.commands.sharing import Sharing, shard_of
from ssni_jax.files.remote import as_path
from ssni_jax.jobs import run as runner
from ssni_jax.jobs.run import WorkUnit, run
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.jobs.work_unit import missing_blocks
from ssni_jax.lifecycle import Stopper
from tests.files.test_lease import dead_process

IDS = list(range(100, 123))
LEASING = Share(is_leasing=True)


class Blocks:
    """A job that writes the names of its units, and before each does what `before` says."""

    name, noun = "blocks", "images"

    def __init__(self, workdir, share=ALL, before=lambda unit: None, followed=()):
        self.workdir, self.share, self.before, self.followed, self.worked = workdir, share, before, followed, []

    def plan(self):
        ids = self.share.ids(IDS, 4)
        have = {id for path in (self.workdir / "units").glob("*") for id in json.loads(path.read_bytes())}
        return [WorkUnit("block", block, None, block[0] in self.followed) for block in missing_blocks(ids, have, 4)]

    def load(self, unit):
        return None

    def prepare(self, unit, loaded):
        pass

    def work(self, unit, loaded, pause):
        self.before(unit)
        self.worked.append(unit.ids[0])

    def write(self, unit, outcome):
        write(self.workdir, unit.ids)

    def forecast(self, units):
        return None

    def summary(self):
        return ""


def write(workdir, ids):
    path = workdir / "units" / f"{ids[0]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(list(ids)).encode())


def worked(job, share=None):
    run(job, job.workdir, Stopper(), share or job.share)
    return job.worked


def held(workdir, first, **changes):
    """The lease of a block, by default of a living process of another machine."""
    owner = {"host": "elsewhere", "pid": os.getpid(), "started": "x", "token": "x"} | changes
    path = workdir / "leases" / f"block-{first:08d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(owner))
    return path


@pytest.mark.parametrize("n", [1, 2, 4, 7, 9])
def test_the_shards_are_all_blocks_once_and_every_nth_each(n):
    shares = [Share(number, n).ids(IDS, 4) for number in range(n)]
    assert sorted(id for share in shares for id in share) == IDS
    assert shares[0][:4] == IDS[:4] and (n == 1 or shares[1][:4] == IDS[4:8])
    assert ALL.ids(IDS, 4) == IDS


def test_shards_of_one_workdir_work_on_their_own_blocks_alone(tmp_path):
    jobs = [Blocks(tmp_path, Share(number, 4)) for number in range(4)]
    assert [worked(job) for job in jobs] == [[100, 116], [104, 120], [108], [112]]
    assert worked(Blocks(tmp_path)) == []


def test_a_leasing_process_ends_without_waiting_for_the_living(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "WAIT_S", 0)
    path = held(tmp_path, 108)
    assert worked(Blocks(tmp_path), LEASING) == [100, 104, 112, 116, 120]
    assert path.exists() and "ends without 1 units that others work on" in capsys.readouterr().out.replace("\n", " ")


def test_the_block_of_a_dead_process_is_taken_over(tmp_path):
    held(tmp_path, 108, host=socket.gethostname(), pid=dead_process())
    held(tmp_path, 112)
    os.utime(tmp_path / "leases" / "block-00000112.json", (0, 0))
    assert worked(Blocks(tmp_path), LEASING) == [100, 104, 108, 112, 116, 120]
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_block_whose_process_dies_meanwhile_is_taken_over_in_another_look(tmp_path):
    path = held(tmp_path, 108)

    def dies(unit):
        if unit.ids[0] == 120:
            os.utime(path, (0, 0))

    assert worked(Blocks(tmp_path, before=dies), LEASING) == [100, 104, 112, 116, 120, 108]


def test_a_leasing_process_waits_where_further_units_follow(tmp_path, monkeypatch):
    """As between the attacks of an ensemble: whoever ends there would leave the rest of the work to one process."""
    held(tmp_path, 108)
    job = Blocks(tmp_path, followed=(108,))
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: write(tmp_path, IDS[8:12]))
    assert worked(job, LEASING) == [100, 104, 112, 116, 120]
    assert not job.plan()


def test_a_plain_run_waits_for_the_blocks_of_others_and_says_so_once(tmp_path, monkeypatch, capsys):
    held(tmp_path, 108)
    looks = iter(range(3))
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: next(looks) == 2 and write(tmp_path, IDS[8:12]))
    assert worked(Blocks(tmp_path)) == [100, 104, 112, 116, 120]
    assert capsys.readouterr().out.count("waiting for 1 units") == 1


@pytest.mark.parametrize(("share", "is_refused"), [(ALL, True), (LEASING, True), (Share(0, 1), False)])
def test_a_store_that_cannot_tell_who_is_first_takes_fixed_shards_alone(tmp_path, share, is_refused):
    workdir = as_path(f"file://{tmp_path}")
    refusal = pytest.raises(ValueError, match=r"does not create files exclusively.*--shard 0/1")
    with refusal if is_refused else nullcontext():
        share.check(workdir)
    if not is_refused:
        assert worked(Blocks(workdir, share)) == [100, 104, 108, 112, 116, 120]
        assert not (tmp_path / "leases").exists()


def test_leases_lie_on_a_store_that_can_tell(tmp_path):
    workdir = as_path(f"memory://{tmp_path.name}")
    LEASING.check(workdir)
    other = LEASING.lease(workdir / "leases" / "block-00000104.json")
    assert other.acquire()
    assert worked(Blocks(workdir), LEASING) == [100, 108, 112, 116, 120]
    other.release()
    assert worked(Blocks(workdir), LEASING) == [104]
    assert list((workdir / "leases").iterdir()) == []


@pytest.mark.parametrize(("text", "number", "n"), [("0/4", 0, 4), ("3/4", 3, 4), ("env:INDEX/16", 5, 16)])
def test_a_shard_is_named_by_its_number_and_by_a_variable_only_where_the_command_line_says_so(text, number, n):
    share = shard_of(text, {"INDEX": "5", "SLURM_ARRAY_TASK_ID": "7"})
    assert share[:2] == (number, n) and share.plain(f"ssni evaluate x.py {share.flags}") == "ssni evaluate x.py"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3/3", "the shards of 3 are 0/3 to 2/3"),
        ("0/0", "does not exist"),
        ("a/b", "must be i/n with whole numbers"),
        ("-1/4", "must be i/n"),
        ("1", "must be i/n"),
        ("env:NOWHERE/4", "takes its number from NOWHERE, which is ''"),
    ],
)
def test_what_is_no_shard_is_refused_with_the_form(text, words):
    with pytest.raises(ValueError, match=words):
        shard_of(text, {})


def test_a_fixed_split_needs_blocks_of_one_size_on_all_machines():
    with pytest.raises(ValueError, match=r"--shard 0/2 splits the run by blocks of batch_size images.*--batch-size 64"):
        shard_of("0/2", {}).check_size("auto")
    shard_of("0/2", {}).check_size(64)
    LEASING.check_size("auto")


def test_a_share_is_fixed_or_free():
    with pytest.raises(ValueError, match="give one of them"):
        Sharing(shard="0/2", lease=True).share  # noqa: B018
    assert Sharing().share == ALL and Sharing(lease=True).share.is_leasing
    assert Sharing(lease=True).with_flags(["ssni", "evaluate", "a b"]) == "ssni evaluate 'a b' --lease"
