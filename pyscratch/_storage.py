"""Saving and loading: an .npz file whose every byte is covered by one checksum. Nothing in it is ever executed.

The file is an ordinary NumPy archive (``np.load`` opens it): arrays, and a member ``description`` with JSON in UTF-8.
The archive's comment holds the SHA-256 of all bytes before it, so one changed bit anywhere is found before parsing.
Layers, losses and optimizers are stored as a class name with constructor arguments, and built by calling the class
again: one of ours, or one that the caller of `load` hands over.
"""

import contextlib
import hashlib
import inspect
import io
import json
import os
import secrets
import zipfile

import numpy as np

FORMAT = "pyscratch network"
VERSION = 1
_MARK = b"sha256:"
_COMMENT = len(_MARK) + 64
_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def options_of(thing):
    """The constructor's arguments of `thing`, read back from attributes of the same names (TypeError if one lacks)."""
    options = {}
    for name, parameter in inspect.signature(type(thing)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(thing, name):
            raise TypeError(
                f"{type(thing).__name__} takes {name!r} but has no attribute of that name, so it cannot be "
                f"described; give it one, or a method options() that returns a dict"
            )
        options[name] = getattr(thing, name)
    return options


def describe(thing):
    """A layer, loss, optimizer or plain value as JSON can hold it."""
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, (list, tuple)):
        return [describe(item) for item in thing]
    if isinstance(thing, np.ndarray):
        return {"array": thing.tolist(), "dtype": thing.dtype.str}
    if isinstance(thing, dict):
        return {"dict": [[str(key), describe(value)] for key, value in thing.items()]}
    options = getattr(thing, "options", None)
    options = options_of(thing) if options is None else options() if callable(options) else options
    return {"class": type(thing).__name__, "options": {name: describe(value) for name, value in options.items()}}


def rebuild(told, classes, where):
    """The inverse of `describe`; `classes` maps names to the classes that may be called."""
    if isinstance(told, list):
        return tuple(rebuild(item, classes, where) for item in told)
    if not isinstance(told, dict):
        return told
    if "array" in told:
        return np.array(told["array"], told["dtype"])
    if "dict" in told:
        return {key: rebuild(value, classes, where) for key, value in told["dict"]}
    name = told["class"]
    if name not in classes:
        raise ValueError(
            f"the file holds something of the class {name!r}, which is not one of ours: "
            f"hand it over, load(path, {where}={{{name!r}: {name}}})"
        )
    return classes[name](**{key: rebuild(value, classes, where) for key, value in told["options"].items()})


def generator_state(generator):
    """The state of a ``numpy.random.Generator`` as JSON can hold it."""
    state = generator.bit_generator.state
    if state["bit_generator"] not in _GENERATORS:
        raise TypeError(f"rng uses the bit generator {state['bit_generator']!r}; a file can hold {_GENERATORS}")
    return _plain(state)


def restore_generator(state):
    """The inverse of `generator_state`."""
    name = state["bit_generator"]
    if name not in _GENERATORS:
        raise ValueError(f"the file names an unknown bit generator, {name!r}")
    bits = getattr(np.random, name)()
    bits.state = _arrays(state)
    return np.random.Generator(bits)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value):
    if isinstance(value, dict) and "array" in value:
        return np.array(value["array"], value["dtype"])
    return {key: _arrays(item) for key, item in value.items()} if isinstance(value, dict) else value


def write(path, description, arrays):
    """Writes the file under a passing name beside `path`, then renames it: a reader sees the old file or the new."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **description}, allow_nan=True).encode()
    buffer = io.BytesIO()
    np.savez(buffer, description=np.frombuffer(text, np.uint8), **arrays)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = _MARK + b"0" * 64
    content = buffer.getvalue()[:-64]
    content += hashlib.sha256(content).hexdigest().encode()
    path = os.fspath(path)
    passing = f"{path}.{secrets.token_hex(6)}.part"
    try:
        with open(passing, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(passing, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(passing)
        raise


def read(path):
    """Description and arrays of a file that `write` wrote; ValueError when it is damaged, foreign or too new."""
    with open(path, "rb") as file:
        content = file.read()
    if content[-_COMMENT:-64] != _MARK:
        raise ValueError(f"{path}: not a pyscratch network, or damaged: the checksum is missing")
    if hashlib.sha256(content[:-64]).hexdigest().encode() != content[-64:]:
        raise ValueError(f"{path}: damaged: the content does not agree with its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    description = json.loads(arrays.pop("description").tobytes())
    if description.get("format") != FORMAT:
        raise ValueError(f"{path}: not a pyscratch network")
    if description["version"] > VERSION:
        raise ValueError(
            f"{path}: written by a newer pyscratch (format {description['version']}, this one reads "
            f"up to {VERSION}): upgrade pyscratch"
        )
    return description, arrays
