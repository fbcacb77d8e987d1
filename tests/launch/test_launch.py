"""The launch files: fields of the Kubernetes objects, and shell scripts with stand-ins for the commands they call."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
GCLOUD = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
case "$*" in
    *"tpu-vm describe"*) if [ -e "$SLICE" ]; then echo READY; else exit 1; fi ;;
    *"queued-resources create"*) touch "$SLICE" ;;
    *"queued-resources delete"*) rm -f "$SLICE" ;;
    *"ssni evaluate"*)
        n=$(cat "$RUNS" 2>/dev/null || echo 0); echo $((n + 1)) > "$RUNS"
        code=$(cut -d' ' -f$((n + 1)) <<<"$CODES")
        if [ "$code" = gone ]; then rm -f "$SLICE"; exit 255; fi
        echo "ssni-exit 0"; echo "ssni-exit $code" ;;
esac
"""


def objects(name):
    """The Kubernetes objects of a file."""
    return list(yaml.safe_load_all((LAUNCH / name).read_text()))


def pod_of(job):
    """The pod of a Job's specification."""
    return job["template"]["spec"]


@pytest.mark.parametrize(
    ("name", "resource", "n_chips", "n_hosts"),
    [("gke_tpu", "google.com/tpu", 4, 4), ("gke_gpu", "nvidia.com/gpu", 8, 2)],
)
def test_a_jobset_runs_one_process_per_host_and_restarts_as_a_whole(name, resource, n_chips, n_hosts):
    jobset = objects(f"{name}.yaml")[-1]
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    (group,) = jobset["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    assert job["parallelism"] == job["completions"] == n_hosts and job["backoffLimit"] == 0
    assert job["completionMode"] == "Indexed"
    pod = pod_of(job)
    assert pod["restartPolicy"] == "Never" and pod["terminationGracePeriodSeconds"] >= 60
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"] == {resource: n_chips}
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2] and rule["onExitCodes"]["containerName"] == container["name"]


def test_the_tpu_jobset_asks_for_a_slice_of_as_many_chips_as_its_hosts_have():
    pod = pod_of(objects("gke_tpu.yaml")[0]["spec"]["replicatedJobs"][0]["template"]["spec"])
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    n_chips = eval(topology.replace("x", "*"))
    assert n_chips == 4 * 4 and pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"


def test_the_gpu_jobset_may_read_the_pods_that_it_joins():
    account, role, binding, jobset = objects("gke_gpu.yaml")
    assert {"pods", "services", "jobs"} == set(role["rules"][0]["resources"])
    assert set(role["rules"][0]["verbs"]) == {"get", "list"}
    name = account["metadata"]["name"]
    pod = pod_of(jobset["spec"]["replicatedJobs"][0]["template"]["spec"])
    assert binding["subjects"][0]["name"] == name == pod["serviceAccountName"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_indexed_job_gives_every_pod_its_share():
    (job,) = objects("indexed_job.yaml")
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"], spec["completions"]) == ("Job", "Indexed", spec["parallelism"])
    command = pod_of(spec)["containers"][0]["command"]
    assert command[-2:] == ["--shard", f"env:JOB_COMPLETION_INDEX/{spec['completions']}"]
    assert spec["backoffLimitPerIndex"] > 0


def tpu_pod(tmp_path, *arguments, codes="0"):
    """tpu_pod.sh with a gcloud that keeps a slice in a file; its exit code, the calls, and what it said."""
    fake = tmp_path / "bin" / "gcloud"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text(GCLOUD)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    places = {name: str(tmp_path / name.lower()) for name in ("CALLS", "SLICE", "RUNS")}
    settings = {"TPU": "pod", "ZONE": "z", "ACCELERATOR": "v5litepod-16", "POLL_S": "0", "CODES": codes}
    environment = {**os.environ, **places, **settings, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", str(LAUNCH / "tpu_pod.sh"), *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    calls = Path(places["CALLS"])
    return ended.returncode, calls.read_text().splitlines() if calls.exists() else [], ended.stderr


COMMAND = ("evaluate", "configs/ssni_n_digits.py", "--workdir", "gs://bucket/a b")


def test_a_preempted_slice_is_created_again_and_the_command_resumes(tmp_path):
    code, calls, said = tpu_pod(tmp_path, "keep", *COMMAND, codes="gone 75 0")
    assert code == 0
    created = [call for call in calls if "queued-resources create" in call]
    ran = [call for call in calls if "ssni evaluate" in call]
    assert len(created) == 2 and len(ran) == 3  # a stopped job runs again on the slice that is there
    assert all("--worker all" in call and r"gs://bucket/a\ b" in call for call in ran)
    assert "--accelerator-type v5litepod-16 --runtime-version v2-alpha-tpuv5-lite" in created[0]
    assert "restart 1 of 20 resumes it" in said


@pytest.mark.parametrize("code", [1, 2])
def test_a_refusal_or_a_bug_ends_the_loop(tmp_path, code):
    ended, calls, _ = tpu_pod(tmp_path, "keep", *COMMAND, codes=str(code))
    assert ended == code and sum("ssni evaluate" in call for call in calls) == 1


def test_a_dry_run_prints_the_commands_and_runs_none(tmp_path):
    code, calls, said = tpu_pod(tmp_path, "--dry-run", "keep", *COMMAND)
    assert code == 0 and calls == []
    for part in ("queued-resources create", "tpu-vm scp", "tpu-vm ssh", "ssni\\ evaluate"):
        assert part in said


def test_an_unknown_action_is_refused(tmp_path):
    code, _, said = tpu_pod(tmp_path, "start")
    assert code == 2 and "say create, run, keep or delete" in said


@pytest.mark.parametrize("array", [False, True])
def test_slurm_runs_one_job_or_one_shard_of_an_array(array):
    share = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "16"} if array else {}
    command = ["bash", str(LAUNCH / "slurm.sbatch"), "--dry-run", *COMMAND[:-1], "DIR"]
    shown = subprocess.run(command, env=os.environ | share, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("srun --kill-on-bad-exit=1 .venv/bin/ssni evaluate configs/ssni_n_digits.py --workdir DIR")
    assert shown.strip().endswith("--shard 4/16") == array


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", sorted([*LAUNCH.glob("*.sh"), LAUNCH / "slurm.sbatch"]), ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path):
    subprocess.run(["shellcheck", "-x", "-S", "warning", str(path)], cwd=LAUNCH, check=True)
