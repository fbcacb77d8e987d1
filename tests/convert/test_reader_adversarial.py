"""Pickles that want to run something: each is refused, and the name that it asks for is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssni_jax.convert.reader import read_checkpoint
from tests.convert.files import (
    MAGIC,
    Call,
    Global,
    Persistent,
    code,
    pickled,
    refusal,
    torch_zip,
    written,
    zipped,
)


def proto2(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def proto4(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def touching(canary: Path) -> dict[str, bytes]:
    """Pickles that create `canary` if anything runs them, by the way they try it."""
    command = f"touch {canary}"
    arg, text = code((command,)), code(command)
    python = code(f"open({str(canary)!r}, 'w')")
    return {
        "os.system by REDUCE": proto2(code(Call("os.system", (command,)))),
        "posix.system by REDUCE": proto2(code(Call("posix.system", (command,)))),
        "subprocess.Popen by REDUCE": proto2(code(Call("subprocess.Popen", (["touch", str(canary)],)))),
        "builtins.eval by REDUCE": proto2(code(Global("builtins.eval")) + b"(" + python + b"tR"),
        "builtins.exec by REDUCE": proto2(code(Global("builtins.exec")) + b"(" + python + b"tR"),
        "builtins.open by REDUCE": proto2(code(Call("builtins.open", (str(canary), "w")))),
        "builtins.getattr by REDUCE": proto2(code(Call("builtins.getattr", (Global("os.path"), "os")))),
        "builtins.__import__ by REDUCE": proto2(code(Call("builtins.__import__", ("os",)))),
        "__builtin__.eval by REDUCE": proto2(code(Global("__builtin__.eval")) + b"(" + python + b"tR"),
        "runpy._run_code by REDUCE": proto2(code(Call("runpy._run_code", (f"open({str(canary)!r}, 'w')", {})))),
        "os.system by INST": proto2(b"(" + text + b"ios\nsystem\n"),
        "os.system by INST of protocol 0": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "os.system by REDUCE of protocol 0": b"cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        "os.system by OBJ": proto2(b"(" + code(Global("os.system")) + text + b"o"),
        "os.system by NEWOBJ": proto2(code(Global("os.system")) + arg + b"\x81"),
        "os.system by NEWOBJ_EX": proto4(code(Global("os.system")) + arg + b"}\x92"),
        "os.system by STACK_GLOBAL": proto4(code("os") + code("system") + b"\x93" + arg + b"R"),
        "os.system by STACK_GLOBAL from the memo": proto4(
            code("system") + b"\x94" + code("os") + b"\x94" + b"00h\x01h\x00\x93" + arg + b"R"
        ),
        "os.system by a nested name": proto4(code("collections") + code("abc.sys.modules") + b"\x93" + arg + b"R"),
        "os.system as a dictionary value": pickled({"model": Call("os.system", (command,))}),
        "os.system by BUILD": pickled(Call("collections.OrderedDict", (), {"__setstate__": Global("os.system")})),
        "os.system as a persistent id": pickled(Persistent(Call("os.system", (command,)))),
        "os.system as a storage type": pickled(Persistent(("storage", Global("os.system"), command, "cpu", 1))),
    }


@pytest.mark.parametrize("way", list(touching(Path("canary"))))
@pytest.mark.parametrize("form", ["plain", "torch zip", "torch legacy"])
def test_nothing_runs_and_the_name_is_told(tmp_path, way, form):
    canary = tmp_path / "ran"
    evil = touching(canary)[way]
    if form == "torch zip":
        evil = zipped({"archive/data.pkl": evil, "archive/version": b"3"})
    elif form == "torch legacy":
        header = pickled(MAGIC) + pickled(1001) + pickled({"little_endian": True})
        evil = header + evil + pickled([])
    sentence = refusal(tmp_path, evil)
    assert not canary.exists()
    if "nested name" not in way:
        assert way.split(" ")[0] in sentence
    assert "malicious" in sentence
    assert "do not load it" in sentence


@pytest.mark.slow
def test_the_canary_sings_where_a_pickle_is_trusted(tmp_path):
    canary = tmp_path / "ran"
    path = written(tmp_path, touching(canary)["os.system by REDUCE"])
    subprocess.run([sys.executable, "-c", f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"], check=True)
    assert canary.exists()


@pytest.mark.parametrize(
    "name",
    [
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "numpy.load",
        "numpy.core.multiarray.fromstring",
        "numpy.f2py.crackfortran.myeval",
        "torch._dynamo.guards.GuardBuilder.get",
        "torch.nn.modules.module._addindent",
        "torch.nn.modules.os.system",
        "pytorch_lightning.callbacks.ModelCheckpoint",
        "torchvision.models.resnet.ResNet",
        "collections.Counter",
        "functools.partial",
        "operator.attrgetter",
    ],
)
def test_a_name_outside_the_vocabulary_is_told(tmp_path, name):
    assert name in refusal(tmp_path, pickled({"model": Call(name, ("x",))}))


@pytest.mark.parametrize(
    "name",
    [
        *("__main__.Net", "__main__._Net2", "models.resnet.ResNet18", "my_project.nets.unet.UNet"),
        *("torchvision.models.resnet.ResNet", "torch.nn.parallel.data_parallel.DataParallel"),
        *("torch._dynamo.eval_frame.OptimizedModule", "torch.optim.adam.Adam", "timm.models.vision_transformer.ViT"),
    ],
)
@pytest.mark.parametrize("instruction", [b")\x81", b")R"], ids=["NEWOBJ", "REDUCE"])
def test_a_whole_pickled_model_is_told_to_be_saved_as_a_state_dict(tmp_path, name, instruction):
    whole = proto2(code(Global(name)) + instruction + code({"training": False, "_modules": {}}) + b"b")
    for content in (whole, zipped({"archive/data.pkl": whole, "archive/version": b"3"})):
        sentence = refusal(tmp_path, content)
        assert f"whole pickled object of class {name}" in sentence
        assert "save its state_dict() instead, torch.save(model.state_dict(), 'weights.pth')" in sentence
        assert "malicious" not in sentence


@pytest.mark.parametrize("name", ["__main__.run", "os.PathLike", "subprocess.Popen", "code.InteractiveConsole"])
def test_what_may_run_is_no_model(tmp_path, name):
    sentence = refusal(tmp_path, pickled({"model": Call(name, ("x",))}))
    assert name in sentence and "whole pickled object" not in sentence
    assert ("malicious" in sentence) == (not name.startswith("__main__"))


@pytest.mark.parametrize(
    "instruction", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"], ids=["EXT1", "EXT2", "EXT4"]
)
def test_the_extension_registry_is_not_asked(tmp_path, instruction):
    assert "EXT" in refusal(tmp_path, proto2(instruction))


def test_a_terminal_cannot_be_steered_by_a_name(tmp_path):
    sentence = refusal(tmp_path, proto4(code("os\x1b[2J\n") + code("system\u202e") + b"\x93"))
    assert sentence.isprintable()
    assert sentence.isascii()


def test_paths_and_default_dictionaries_are_read_as_plain_values(tmp_path):
    value = {
        "path": Call("pathlib.PosixPath", ("runs", "a")),
        "log": Call("collections.defaultdict", (Global("builtins.list"),)),
    }
    assert read_checkpoint(written(tmp_path, torch_zip(value, {}))) == {"path": "runs/a", "log": {}}


CALLS = [("builtins.list", ()), ("pathlib.PosixPath", (7,)), ("builtins.int", ("7",))]


@pytest.mark.parametrize(("name", "args"), CALLS)
def test_a_plain_type_is_not_called(tmp_path, name, args):
    assert "is damaged" in refusal(tmp_path, torch_zip({"x": Call(name, args)}, {}))
