"""Builds the C kernels. Everything else about the package stands in pyproject.toml."""

from concurrent.futures import ThreadPoolExecutor
import os
import sys
import zlib

from setuptools import setup
from setuptools.command.build_ext import build_ext


class parallel_build_ext(build_ext):
    """Compiles the sources of an extension side by side, and keeps objects that are newer than all they are made of.

    setuptools by itself parallelises whole extensions only, and compiles everything anew for each of an in-place build,
    an editable install and a wheel, because two of them use a temporary folder.
    """

    def finalize_options(self):
        """Give the objects one folder, named by the Python and the compiler flags that made them."""
        flags = " ".join(os.environ.get(name, "") for name in ("CC", "CPPFLAGS", "CFLAGS"))
        tag = f"{sys.implementation.cache_tag}-{zlib.crc32(flags.encode()):08x}"
        self.build_temp = self.build_temp or os.path.join("build", f"objects-{tag}")
        super().finalize_options()

    def build_extension(self, ext):
        """Build one extension with a compiler whose ``compile`` hands each source to a thread."""
        serial = self.compiler.compile

        def compile_one(source, output_dir=None, **options):
            target = self.compiler.object_filenames([source], output_dir=output_dir)[0]
            made_of = [source, *ext.depends]
            if not self.force and os.path.exists(target) and all(map(older(target), made_of)):
                return [target]
            return serial([source], output_dir=output_dir, **options)

        def compile_all(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: compile_one(source, **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = serial


def older(target):
    """Return the test whether a file was last changed before ``target``."""
    return lambda path: os.path.getmtime(path) < os.path.getmtime(target)


setup(
    cffi_modules=["pyscratch/_build.py:ffibuilder"],
    cmdclass={"build_ext": parallel_build_ext},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
