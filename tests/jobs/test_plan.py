"""Plans: what a run takes, told before it begins."""

import dataclasses
import re
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from ssni_jax.attacks import Objective
from ssni_jax.data import take
from ssni_jax.dist import make_mesh, whole
from ssni_jax.dist.targets import HardwareTarget, target_named
from ssni_jax.evals.collectives import collectives
from ssni_jax.evals.footprint import temporary_bytes
from ssni_jax.evals.network_calls import attack_calls, prediction_calls
from ssni_jax.jobs.automatic import settled
from ssni_jax.jobs.evaluation_job import EvaluationJob
from ssni_jax.jobs.plan import Facts, ProgramPlan, facts_of, placed, rows_that_fit, shown
from ssni_jax.jobs.plan_evaluation import evaluation_programs
from ssni_jax.jobs.programs import CompiledPrograms
from ssni_jax.jobs.run import WorkUnit
from ssni_jax.journal.units import Journal
from ssni_jax.networks import Network
from ssni_jax.presets import preset
from ssni_jax.purify import Surrogate
from ssni_jax.zoo import resolve
from tests.configs.toy import evaluation

ROOT = Path(__file__).parents[2]
GB = 10**9
SMALL = HardwareTarget("gpu:h100:2", 2, GB, 989e12, "2")

HLO = """
%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %c = f32[] add(f32[] %a, f32[] %b)
}
%inner (p: f32[8]) -> f32[8] {
  ROOT %r = f32[8] all-reduce(f32[8] %p), to_apply=%add
}
%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %f = f32[8] fusion(f32[8] %x), kind=kLoop, calls=%inner
}
%test (p: (s32[], f32[8])) -> pred[] {
  ROOT %r = pred[] compare(s32[] %i, s32[] %n), direction=LT
}
ENTRY %main (p: f32[8]) -> f32[8] {
  %g = (f32[2], f32[8]) all-gather-start(f32[2] %p), dimensions={0}
  %w = (s32[], f32[8]) while((s32[], f32[8]) %t), condition=%test, body=%body
}
"""


def test_collectives_inside_loops_are_told_from_those_outside():
    counts = collectives(HLO)
    assert counts.all == {"all-gather": 1, "all-reduce": 1} and counts.in_loops == {"all-reduce": 1}
    assert str(counts) == "1 all-gather, 1 all-reduce; 1 all-reduce in a loop"
    assert str(collectives(HLO.replace("body=%body", "body=%add"))).endswith("none in a loop")


def test_a_collective_that_is_spread_over_operations_counts_once():
    numbered = HLO.replace("all-reduce(f32[8] %p)", "all-reduce(f32[8] %p), channel_id=7")
    part = "%other (p: f32[8]) -> f32[8] {\n  %s = f32[8] all-reduce(f32[8] %p), channel_id=7, to_apply=%add\n}\n"
    spread = part + numbered.replace("  %f =", "  %h = f32[8] fusion(f32[8] %x), calls=%other\n  %f =")
    assert "calls=%other" in spread
    assert collectives(spread) == collectives(numbered)
    apart = spread.replace("channel_id=7, to_apply", "channel_id=8, to_apply", 1)
    assert collectives(apart).in_loops == {"all-reduce": 2}


def test_a_collective_that_starts_before_a_loop_and_goes_on_inside_it_is_not_repeated():
    begun = "%begin (p: f32[8]) -> f32[8] {\n  %s = f32[8] all-reduce(f32[8] %p), channel_id=7, to_apply=%add\n"
    begun += '  ROOT %c = f32[8] custom-call(f32[8] %s), custom_call_target="AsyncCollectiveStart"\n}\n'
    numbered = HLO.replace("all-reduce(f32[8] %p)", "all-reduce(f32[8] %p), channel_id=7")
    outside = begun + numbered.replace("  %g =", "  %h = f32[8] fusion(f32[8] %x), calls=%begin\n  %g =")
    assert collectives(outside).in_loops == {} and collectives(outside).all == {"all-gather": 1, "all-reduce": 1}
    inside = begun + numbered.replace("  %f =", "  %h = f32[8] fusion(f32[8] %x), calls=%begin\n  %f =")
    assert collectives(inside).in_loops == {"all-reduce": 1}


def test_memory_from_shapes_is_the_largest_sum_of_values_alive_at_once():
    x = jax.ShapeDtypeStruct((100, 100), np.float32)
    assert temporary_bytes(lambda x: (x @ x) @ x, x)[0] == 2 * 40_000
    chain = temporary_bytes(lambda x: jax.numpy.exp(jax.numpy.sin(x @ x) * 2), x)[0]
    assert chain == 2 * 40_000  # the elementwise chain is one operation, which reads the product


def test_rows_that_fit_follow_a_straight_line_through_two_batches():
    def plans(rows):
        return [ProgramPlan("step", 100_000_000, 10_000_000 * rows, 0, 0.0)]

    assert rows_that_fit(SMALL, 4, plans(4), plans) == 80  # 0.1 GB and 80 times 10 MB are 90 % of 1 GB
    compiled = [dataclasses.replace(plans(4)[0], temporary=80_000_000)]  # twice what was estimated
    assert rows_that_fit(SMALL, 4, compiled, plans) == 4 + 720 // 20
    assert rows_that_fit(dataclasses.replace(SMALL, n_bytes=None), 4, plans(4), plans) is None


def test_network_calls_are_those_of_the_mean_deviation():
    ssni, plain = preset("digits-ssni-n"), preset("digits-diffpure")
    assert prediction_calls(plain).denoiser == 100
    assert prediction_calls(ssni).denoiser == pytest.approx(20 + 105 / 2, abs=1)
    objective = Objective(n_draws=2, hold=True, differentiate=Surrogate(5))
    calls = attack_calls(ssni, evaluation.attack, objective)
    n = evaluation.attack.n_iterations
    assert calls.denoiser == n * (4 * 2 * 5 + 20) and calls.classifier == n * 4 * 2


def test_auto_takes_what_fits_and_no_more_than_the_images(monkeypatch):
    def sized(experiment, mesh, facts, n_rows):
        return [ProgramPlan("step", 100_000_000, 25_000_000 * n_rows, 0, 0.0)]

    monkeypatch.setattr("ssni_jax.jobs.automatic.evaluation_programs", sized)
    objective = dataclasses.replace(evaluation.objective, n_draws=20, n_together="auto")
    asked = dataclasses.replace(evaluation, batch_size="auto", n_slots="auto", objective=objective)
    many = settled(asked, SMALL, Facts(1000, (8, 8, 1)))
    assert (many.batch_size, many.n_slots, many.objective.n_together) == (32, 16, 1)  # 16 rows, half of what may fit
    few = settled(asked, SMALL, Facts(8, (8, 8, 1)))
    assert (few.batch_size, few.n_slots, few.objective.n_together) == (8, 4, 4)
    given = settled(dataclasses.replace(asked, batch_size=2), SMALL, Facts(1000, (8, 8, 1)))
    assert (given.batch_size, given.objective.n_together) == (2, 16)


def test_networks_in_parts_keep_their_sharing_and_say_their_axes():
    shapes = {"a": jax.ShapeDtypeStruct((8, 64, 512), np.float32), "b": jax.ShapeDtypeStruct((3,), np.float32)}
    network = Network(None, shapes)
    mesh = make_mesh()
    first, second = placed((network, network), mesh, divided=True)
    assert first.split == (2, None) and first.state["a"] is second.state["a"]
    assert first.state["a"].sharding.spec == jax.sharding.PartitionSpec(None, None, "data")
    whole_one, _ = placed((network, network), mesh)
    assert whole_one.split is None and whole_one.state["a"].sharding.spec == jax.sharding.PartitionSpec()


def test_targets_are_named_by_chip_and_topology():
    assert target_named("tpu:v5e:4x4").n_devices == 16 and target_named("gpu:h100:8").n_devices == 8
    for wrong in ("tpu:h100:8", "v5e", "tpu:v5e:4", "gpu:h100:2x2", "gpu:h100:0", "tpu:v9:4x4"):
        with pytest.raises(ValueError, match=re.escape(repr(wrong))):
            target_named(wrong)


class Recording(CompiledPrograms):
    """Compiled programs that keep what the compiler says of their memory, by the names of a plan."""

    def __init__(self):
        super().__init__()
        self.memory = {}

    def compiled(self, name, function, *args):
        program = super().compiled(name, function, *args)
        self.memory.setdefault(shown(name), program.memory_analysis())
        return program


@pytest.mark.slow
def test_a_compiled_plan_equals_the_memory_of_the_program_that_runs(tmp_path):
    """And an estimate from shapes is within a factor of two of it."""
    experiment = runpy.run_path(str(ROOT / "configs" / "ssni_n_digits.py"))["experiment"]
    experiment, facts = dataclasses.replace(experiment, batch_size=32), facts_of(experiment)
    planned = {plan.name: plan for plan in reversed(evaluation_programs(experiment, make_mesh(), facts, 4))}
    estimated = {plan.name: plan for plan in reversed(evaluation_programs(experiment, None, facts, 4))}
    programs = Recording()
    predict = resolve(experiment.defense, whole(make_mesh()))
    job = EvaluationJob(experiment, predict, experiment.attack, Journal(tmp_path, ""), "", programs)
    unit = WorkUnit("evaluated", tuple(experiment.ids[:32]))
    job.prepare(unit, {**take(experiment.images, unit.ids), "mask": np.ones(32, bool)})
    assert programs.memory.keys() == planned.keys()
    for name, memory in programs.memory.items():
        plan = planned[name]
        assert (plan.arguments, plan.temporary) == (memory.argument_size_in_bytes, memory.temp_size_in_bytes), name
    for name in ("prediction", "attack's iterations"):
        assert planned[name].total / 2 <= estimated[name].total <= 2 * planned[name].total
