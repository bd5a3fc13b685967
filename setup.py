"""Builds the C kernels. Everything else about the package stands in pyproject.toml."""

from concurrent.futures import ThreadPoolExecutor
import os

from setuptools import setup
from setuptools.command.build_ext import build_ext


class parallel_build_ext(build_ext):
    """Compiles the sources of an extension side by side; setuptools by itself only parallelises whole extensions."""

    def build_extension(self, ext):
        """Build one extension with a compiler whose ``compile`` hands each source to a thread."""
        serial = self.compiler.compile

        def compile_all(sources, *args, **kwargs):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: serial([source], *args, **kwargs), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = serial


setup(cffi_modules=["pyscratch/_build.py:ffibuilder"], cmdclass={"build_ext": parallel_build_ext})
