"""Pickles that import or call what no checkpoint needs."""

from __future__ import annotations

__all__ = ["COMMAND", "hostile_imports"]

from collections.abc import Iterator

from tests.security.genuine import nvidia
from tests.security.opcodes import END, PROTO, Op, called, named, ops, spliced

COMMAND = "touch /tmp/executed"

# Things to call that run code, open files or reach the network, and their arguments.
CALLS: dict[str, tuple[object, ...]] = {
    "os.system": (COMMAND,),
    "posix.system": (COMMAND,),
    "nt.system": (COMMAND,),
    "os.popen": (COMMAND,),
    "os.execv": ("/bin/sh", ["sh", "-c", COMMAND]),
    "os.remove": ("/tmp/executed",),
    "os.putenv": ("PATH", ""),
    "posix.fork": (),
    "subprocess.Popen": (["touch", "/tmp/executed"],),
    "subprocess.check_output": (["touch", "/tmp/executed"],),
    "subprocess.getoutput": (COMMAND,),
    "builtins.eval": ("__import__('os').system('true')",),
    "builtins.exec": ("import os",),
    "builtins.compile": ("1", "x", "eval"),
    "builtins.getattr": ("", "join"),
    "builtins.setattr": ("", "join", 1),
    "builtins.__import__": ("os",),
    "builtins.open": ("/tmp/executed", "w"),
    "builtins.breakpoint": (),
    "builtins.globals": (),
    "builtins.map": (None, []),
    "builtins.type": ("X", (), {}),
    "builtins.bytearray": (2**40,),
    "builtins.range": (2**40,),
    "builtins.list": ("abc",),
    "builtins.frozenset": ([],),
    "__builtin__.eval": ("1",),
    "__builtin__.execfile": ("/tmp/executed",),
    "importlib.import_module": ("antigravity",),
    "importlib.__import__": ("antigravity",),
    "pty.spawn": ("/bin/true",),
    "runpy.run_path": ("/tmp/executed.py",),
    "runpy._run_code": ("1", {}),
    "code.interact": (),
    "webbrowser.open": ("http://127.0.0.1:9/",),
    "antigravity.geohash": (1, 1, b"x"),
    "ctypes.CDLL": ("libc.so.6",),
    "ctypes.memmove": (0, 0, 1),
    "torch.load": ("/tmp/executed",),
    "torch.serialization.load": ("/tmp/executed",),
    "torch.hub.load": ("user/repository", "model"),
    "torch.jit.load": ("/tmp/executed",),
    "torch.utils.cpp_extension.load": ("x", []),
    "torch._utils._rebuild_tensor": (0, 0, (), ()),
    "torch._tensor._rebuild_from_type_v2": (0, 0, 0, 0),
    "torch.storage.UntypedStorage": (2**40,),
    "torch.empty": (2**40,),
    "torch.from_file": ("/etc/passwd",),
    "functools.partial": (None,),
    "functools.reduce": (None, []),
    "operator.attrgetter": ("__globals__",),
    "operator.methodcaller": ("system", COMMAND),
    "operator.itemgetter": (0,),
    "pip.main": (["install", "x"],),
    "pip._internal.main": (["install", "x"],),
    "timeit.timeit": ("1",),
    "cProfile.run": ("1",),
    "pdb.run": ("1",),
    "doctest.debug_script": ("1",),
    "asyncio.create_subprocess_shell": (COMMAND,),
    "multiprocessing.util.spawnv_passfds": (b"/bin/true", [], []),
    "socket.create_connection": (("127.0.0.1", 9),),
    "urllib.request.urlopen": ("http://127.0.0.1:9/",),
    "shutil.rmtree": ("/tmp/executed",),
    "pathlib.PosixPath": ("/tmp/executed",),
    "tempfile.mkstemp": (),
    "io.open": ("/tmp/executed", "w"),
    "codecs.open": ("/tmp/executed", "w"),
    "_io.FileIO": ("/tmp/executed", "w"),
    "pickle.loads": (b"N.",),
    "_pickle.loads": (b"N.",),
    "joblib.load": ("/tmp/executed",),
    "marshal.loads": (b"N",),
    "types.FunctionType": (None, {}),
    "types.CodeType": (),
    "logging.config.listen": (),
    "sqlite3.connect": ("/tmp/executed",),
    "venv.create": ("/tmp/executed",),
    "numpy.load": ("/tmp/executed",),
    "numpy.testing._private.utils.runstring": ("1", {}),
    "pandas.read_pickle": ("/tmp/executed",),
    "mlflow.pyfunc.load_model": ("/tmp/executed",),
    "ray.init": (),
    "copyreg._reconstructor": (None, None, None),
    "copyreg.__newobj__": (None,),
    "sys.exit": (0,),
    "signal.raise_signal": (9,),
    "faulthandler._sigsegv": (),
    "dnnlib.tflib.network.Network": (),
    "torch_utils.persistence.persistent_class": (None,),
    "torch_utils.persistence._src_to_module": ("import os",),
    "dnnlib.util.call_func_by_name": ("os.system", COMMAND),
}


def hostile_imports() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    yield from calls()
    yield from instructions()
    yield from tricks()


def calls() -> Iterator[tuple[str, bytes]]:
    """Calls beside a genuine network."""
    for path, arguments in CALLS.items():
        module, _, name = path.rpartition(".")
        yield f"call-{path}", spliced(nvidia(), "x", called(module, name, *arguments))


def instructions() -> Iterator[tuple[str, bytes]]:
    """The other instructions that import or call."""
    yield "import-alone", PROTO + called("os", "system", COMMAND).code + END
    system, popen = named("posix", "system").code, named("subprocess", "Popen").code
    for name, code in {
        "unused": system,
        "from-stack": ops("posix") + ops("system") + b"\x93" + ops((COMMAND,)) + b"R",
        "inst": b"(" + ops(COMMAND) + b"iposix\nsystem\n",
        "obj": b"(" + system + ops(COMMAND) + b"o",
        "newobj": popen + ops((["true"],)) + b"\x81",
        "newobj-ex": named("argparse", "Namespace").code + ops(()) + ops({}) + b"\x92",
        "ext1": b"\x82\x01",
        "ext2": b"\x83\x01\x00",
        "ext4": b"\x84\x01\x00\x00\x00",
    }.items():
        yield f"import-{name}", spliced(nvidia(), "x", Op(code))


def tricks() -> Iterator[tuple[str, bytes]]:
    """Names that a looser comparison would let pass."""
    for name, (module, attribute) in {
        "globals": ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        "module-in-attribute": ("torch", "_utils._rebuild_tensor_v2"),
        "attribute-in-module": ("torch._utils._rebuild_tensor_v2", "__globals__"),
        "no-module": ("", "torch._utils._rebuild_tensor_v2"),
        "method": ("collections", "OrderedDict.__init__"),
        "imported-module": ("collections", "_sys.modules"),
        "imported-function": ("argparse", "_os.system"),
        "builtins": ("torch_utils.persistence", "_reconstruct_persistent_obj.__builtins__"),
        "class": ("numpy", "dtype.__class__"),
        "self": ("_codecs", "encode.__self__"),
        "subclasses": ("builtins", "set.__subclasses__"),
        "space": ("torch. _utils", "_rebuild_tensor_v2"),
        "upper-case": ("Torch._utils", "_rebuild_tensor_v2"),
        "nul": ("torch._utils\x00", "_rebuild_tensor_v2"),
        "cyrillic": ("\u043es", "system"),
        "newlines": ("os\nsystem\n", "x" * 300),
        "right-to-left": ("\u202eos", "metsys"),
        "escape": ("\x1b[2Jos", "system"),
        "long": ("x" * 100_000, "y"),
    }.items():
        yield f"name-{name}", spliced(nvidia(), "x", Op(ops(module) + ops(attribute) + b"\x93"))
    yield "name-is-no-text", spliced(nvidia(), "x", Op(ops(1) + ops(("system",)) + b"\x93"))
    yield "name-is-endless", spliced(nvidia(), "x", Op(b"c" + b"a" * 10_000))
