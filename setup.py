"""Builds the compiled half of nnrt; everything declarative is in pyproject.toml.

Three kinds of source become extension modules:

* `nnrt/_ext/<family>.pyx`: the drivers, with `csrc/<family>.c`, the kernels,
  compiled once per instruction set with that set's flags (symbol names carry the set).
* `nnrt/_ext/runtime.pyx`: pool, allocator, CPU detection; its C files are baseline only. All other
  modules are linked into its library, where `nnrt/_ext/__init__.py` finds them.
* Python files of modules listed there as COMPILED: the same source, typed by the .pxd beside it
  where there is one. Without the extension they run as plain Python; a wheel that has it holds them as
  stubs, for which pip writes no bytecode.
* `nnrt._ext._cyutility`, which Cython writes: what each of its modules would hold otherwise.

Environment: NNRT_NO_EXT=1 builds nothing (Numba or numpy then do the work);
NNRT_SANITIZE=address,undefined or =thread builds for the sanitizers.
"""

import ast
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

EXT = Path("nnrt/_ext")
CSRC = EXT / "csrc"
[COMPILED] = [
    ast.literal_eval(node.value)
    for node in ast.parse((EXT / "__init__.py").read_text()).body
    if isinstance(node, ast.Assign) and node.targets[0].id == "COMPILED"
]
# Cython's own functions, once for all modules: a seventeenth of the wheel.
UTILITY = "nnrt._ext._cyutility"
RUNTIME_SOURCES = ["threads.c", "observe.c", "memory.c", "cpu.c"]

MACHINE = "aarch64" if os.environ.get("NNRT_TARGET") == "aarch64" else platform.machine()
if MACHINE in ("x86_64", "AMD64"):
    BASELINE = ["-march=x86-64-v2"]
    ISA_FLAGS = {
        "baseline": BASELINE,
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }
elif MACHINE in ("aarch64", "arm64"):
    BASELINE = ["-march=armv8-a"]
    ISA_FLAGS = {"neon": BASELINE}
else:
    BASELINE = []
    ISA_FLAGS = {"baseline": BASELINE}

SANITIZE = os.environ.get("NNRT_SANITIZE")
COMMON = ["-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
COMMON += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1"] if SANITIZE else ["-g0"]
# Kernels: contraction and speculation are allowed; NaN, infinity and signed zero keep their meaning.
KERNEL = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-tree-slp-vectorize"]
KERNEL += ["--param=vect-epilogues-nomask=0"]  # remainders element by element: a tenth less code
KERNEL += ["-Wno-psabi"]  # vectors are passed between inline functions of one object alone
# Nothing gains from an aligned start (73 rows of the bench together 1.004 without, Zen 5): a hundredth and a half less.
UNALIGNED = ["-fno-align-functions", "-fno-align-jumps", "-fno-align-labels", "-fno-align-loops"]
FAST = ["-O2", *UNALIGNED]
# -O3 would add a third to the size of most kernels (unrolled remainders), a fifth to that of matrix products, and no speed.
OPTIMISE = [*FAST, "-ftree-vectorize", "-fvect-cost-model=dynamic"]
# For CPUs of before 2013, and where vectors are written out and register tiles come from linear: small before fast.
SMALL = {"attention"}
OPTIMISE_SMALL = ["-Os", "-ftree-vectorize", "-fvect-cost-model=very-cheap"]
# A pointer per array where one index would do is faster and larger.
OPTIMISE_BASELINE = [*OPTIMISE_SMALL, "-fno-ivopts"]
# The way of every small op is worth its size; elsewhere -Os halves the modules.
HOT = {"autograd", "elementwise", "linear", "maps", "runtime", "tensor"}
# An eighth of their code is copies of blocks and of Cython's larger helpers, which gain nothing but in the tape.
NO_COPIES = ["-freorder-blocks-algorithm=simple", "-fno-thread-jumps", "-fno-tree-dominator-opts", "-fno-tree-pre", "-fno-gcse"]
NO_COPIES += ["-fno-partial-inlining", "--param=max-inline-insns-single=20", "--param=max-inline-insns-auto=5"]
DRIVER = ["-fno-strict-aliasing", "-Wno-unused-function"]
# What Cython calls unlikely, errors, is made small and lies apart from the way. And two of its shortcuts: a bound method
# taken apart at every call that might be of one, and exceptions looked up in the thread's state. No row of the bench
# gains from either; together an eighteenth of the drivers' code.
DRIVER += ["--param=builtin-expect-probability=100", "-DCYTHON_UNPACK_METHODS=0", "-DCYTHON_FAST_THREAD_STATE=0"]
# Nothing here throws or is unwound through: a tenth of the size.
COMMON += [] if SANITIZE else ["-fno-asynchronous-unwind-tables"]
# Nobody looks modules up by their build-ids, which do not compress, nor needs code apart in pages of its own.
LINK = ["-Wl,--build-id=none", "-Wl,-z,noseparate-code"] if sys.platform == "linux" else []
# 7000 relocations in 2 kB instead of 180, where the linker knows how and the loader, glibc's since 2.36.
RELATIVE = "-Wl,-z,pack-relative-relocs"
# What Cython writes into each module alike becomes one function: a fourteenth of the drivers' code. In wheels; a checkout
# that is edited links in a second instead of half a minute.
ONCE = ["-flto", "-fno-fat-lto-objects"]
JOBS = os.cpu_count() or 1


class Build(build_ext):
    """Compiles C kernels per instruction set, in parallel and only where a source is newer."""

    def run(self):
        self.remove_stale()
        self.for_wheel = not (self.inplace or self.editable_mode)
        super().run()
        if self.for_wheel:
            self.turn_sources_to_stubs()
        # `python -m nnrt` in a checkout imports the checkout: it shall find the extension too.
        if not self.inplace and os.access("nnrt", os.W_OK):
            self.copy_extensions_to_source()

    def remove_stale(self):
        """A module that is no longer compiled would be shadowed by its binary of an older build in place."""
        names = {ext.name for ext in self.extensions}
        for found in Path("nnrt").rglob("*.so"):
            if ".".join(found.parts).split(".cpython")[0].removesuffix(".so") not in names:
                found.unlink()

    def turn_sources_to_stubs(self):
        """Python imports COMPILED from the library; editors and type checkers read the source, or the stub beside it."""
        for name in COMPILED:
            path = name.replace(".", "/")
            source = Path(self.build_lib, path + ".py")
            if source.exists() and Path(path + ".pyi").exists():
                source.unlink()
            elif source.exists():
                source.replace(source.with_suffix(".pyi"))

    def build_extensions(self):
        self.parallel = self.parallel or JOBS
        if not SANITIZE and self.packs_relocations():
            for ext in self.extensions:
                ext.extra_link_args.append(RELATIVE)
        if not SANITIZE and self.for_wheel and self.links(*ONCE):
            self.build_temp += "-wheel"
            for ext in self.extensions:
                ext.extra_link_args += [f"-flto={JOBS}", "-O2", "-fPIC", "-fno-asynchronous-unwind-tables"]
                for module in [ext, *ext.drivers]:
                    module.extra_compile_args = module.extra_compile_args + ONCE
        headers = max(p.stat().st_mtime for p in [Path(__file__), *CSRC.glob("*.h")])  # what all objects are made with
        with ThreadPoolExecutor(JOBS) as pool:
            for ext in self.extensions:
                jobs = [pool.submit(self.kernel_object, source, isa, headers) for source, isa in ext.kernels]
                jobs += [pool.submit(self.driver_object, driver, headers) for driver in ext.drivers]
                ext.extra_objects = [job.result() for job in jobs]
                ext.depends = ext.depends + ext.extra_objects
        super().build_extensions()

    def packs_relocations(self):
        """Whether what is built here runs here, and this machine's linker and loader know RELATIVE."""
        libc, version = platform.libc_ver()
        if libc != "glibc" or tuple(map(int, version.split("."))) < (2, 36) or "NNRT_TARGET" in os.environ:
            return False
        return self.links(RELATIVE, "-Wl,--fatal-warnings")

    def links(self, *flags):
        command = [*self.compiler.linker_so, *flags, "-x", "c", os.devnull, "-o", os.devnull]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def kernel_object(self, source, isa, headers):
        flags = ISA_FLAGS[isa] if isa else BASELINE
        target = Path(self.build_temp) / "kernels" / f"{source.stem}-{isa or 'common'}.o"
        if self.is_new(target, source, headers):
            return str(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        define = [f"-DNNRT_ISA={isa}"] if isa else []
        if isa == "baseline":
            optimise = OPTIMISE_BASELINE
        elif source.stem in SMALL:
            optimise = OPTIMISE_SMALL
        else:
            optimise = OPTIMISE
        optimise = ["-O1"] if SANITIZE else optimise
        command = [*self.compiler.compiler_so, *COMMON, *optimise, *KERNEL, *flags, *define]
        self.spawn([*command, f"-I{CSRC}", "-fPIC", "-c", str(source), "-o", str(target)])
        return str(target)

    def driver_object(self, ext, headers):
        [source] = ext.sources
        target = Path(self.compiler.object_filenames([source], output_dir=self.build_temp)[0])
        if not self.is_new(target, Path(source), headers):
            self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=ext.define_macros,
                include_dirs=ext.include_dirs,
                extra_postargs=ext.extra_compile_args,
            )
        return str(target)

    def is_new(self, target, source, headers):
        return not self.force and target.exists() and target.stat().st_mtime > max(source.stat().st_mtime, headers)


def driver_level(stem):
    if SANITIZE:
        return ["-O0"]  # compiles in a quarter of the time
    if stem not in HOT:
        return ["-Os"]
    return FAST if stem == "autograd" else FAST + NO_COPIES


def extensions():
    import numpy
    from Cython.Build import cythonize

    made = []
    for source in [*sorted(EXT.glob("*.pyx")), *(Path(name.replace(".", "/") + ".py") for name in COMPILED)]:
        macros = [(name, "NPY_2_0_API_VERSION") for name in ("NPY_NO_DEPRECATED_API", "NPY_TARGET_VERSION")]
        if source.parent != EXT:  # a name of its own in the library
            macros.append((f"PyInit_{source.stem}", "PyInit_" + "_".join(source.with_suffix("").parts)))
        ext = Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            include_dirs=[numpy.get_include(), str(CSRC)],
            define_macros=macros,
            extra_compile_args=COMMON + DRIVER + BASELINE + driver_level(source.stem),
            extra_link_args=[f"-fsanitize={SANITIZE}"] if SANITIZE else ["-Wl,-s", *LINK],
            libraries=["m", "pthread"],
            depends=[str(p) for p in CSRC.glob("*.h")],
        )
        # Plain Python keeps Python's indexing; only drivers go without bounds checks.
        ext.cython_directives = {"boundscheck": source.parent != EXT or bool(SANITIZE)}
        made.append(ext)
    flags = dict(extra_compile_args=COMMON + DRIVER + BASELINE + ["-Os"], extra_link_args=made[0].extra_link_args)
    made = cythonize(
        [*made, Extension(UTILITY, [], **flags)],
        build_dir="build/cython",
        shared_utility_qualified_name=UTILITY,
        shared_utility_features_disabled=["MemoryView"],
        language_level=3,
        # Where a process may fork: elsewhere each worker would run this file.
        nthreads=JOBS if sys.platform == "linux" and sys.version_info < (3, 14) else 0,
        compiler_directives={
            "initializedcheck": False,
            "cdivision": True,
            "embedsignature": True,
            "binding": True,
            "annotation_typing": False,
        },
    )
    [runtime] = [ext for ext in made if ext.name == "nnrt._ext.runtime"]
    runtime.drivers = [ext for ext in made if ext is not runtime]
    runtime.kernels = [(CSRC / name, None) for name in RUNTIME_SOURCES]
    for source in sorted(EXT.glob("*.pyx")):
        kernels = CSRC / f"{source.stem}.c"
        if kernels.exists():
            narrow = "NNRT_TABLES_AVX2" in kernels.with_suffix(".h").read_text()
            runtime.kernels += [(kernels, isa) for isa in ISA_FLAGS if not (narrow and isa == "avx512")]
    return [runtime]


if os.environ.get("NNRT_NO_EXT") == "1" or "clean" in sys.argv:
    setup()
else:
    setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
