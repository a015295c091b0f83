"""The names that a checkpoint's pickle may mention.

A name is a pair of module and attribute that is looked up in this table and nowhere else: nothing is
imported, and a dotted attribute leads nowhere.
"""

from __future__ import annotations

__all__ = [
    "ALLOWED",
    "CALLABLE",
    "DICTS",
    "ENCODE",
    "HINTS",
    "LOAD_FROM_BYTES",
    "NETWORK",
    "PARAMETER",
    "SETS",
    "STATEFUL",
    "TENSOR",
]

NETWORK = "torch_utils.persistence._reconstruct_persistent_obj"
PARAMETER = "torch._utils._rebuild_parameter"
TENSOR = "torch._utils._rebuild_tensor_v2"
LOAD_FROM_BYTES = "torch.storage._load_from_bytes"
ENCODE = "_codecs.encode"  # how protocol 2 writes bytes

ALLOWED: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "torch_utils.persistence": "_reconstruct_persistent_obj",
        "torch._utils": "_rebuild_parameter _rebuild_tensor_v2",
        "torch.storage": "_load_from_bytes",
        "torch": "FloatStorage HalfStorage BFloat16Storage DoubleStorage LongStorage IntStorage ShortStorage "
        "CharStorage ByteStorage BoolStorage float32 float16 bfloat16 float64 int64 int32 int16 int8 uint8 "
        "bool Size device",
        "collections": "OrderedDict",
        "dnnlib.util": "EasyDict",
        "builtins": "set",
        "__builtin__": "set",  # the same, in protocol 2
        "_codecs": "encode",
        "argparse": "Namespace",
        "numpy": "dtype ndarray",
        "numpy.core.multiarray": "scalar _reconstruct",
        "numpy.core.numeric": "_frombuffer",
        "numpy._core.multiarray": "scalar _reconstruct",  # the same two, since numpy 2
        "numpy._core.numeric": "_frombuffer",
    }.items()
}

# What to do about modules that are met by mistake rather than by malice.
HINTS = {
    "dnnlib.tflib.network": "it is of TensorFlow, take a checkpoint of stylegan2-ada-pytorch or stylegan3"
}

DICTS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
SETS = frozenset({"builtins.set", "__builtin__.set"})
_ARRAYS = frozenset({"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"})
_NUMBERS = frozenset(
    f"numpy.{core}.{function}"
    for core in ("core", "_core")
    for function in ("multiarray.scalar", "numeric._frombuffer")
)

# Calls of these leave a note. All other names are only mentioned, such as the type of a storage.
CALLABLE = frozenset({NETWORK, PARAMETER, TENSOR, LOAD_FROM_BYTES, ENCODE}) | {
    "torch.Size",
    "torch.device",
    "argparse.Namespace",
    "numpy.dtype",
    *_ARRAYS,
    *_NUMBERS,
}
# The notes that a state may be added to.
STATEFUL = _ARRAYS | {"argparse.Namespace", "numpy.dtype"}
