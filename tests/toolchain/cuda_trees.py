"""Folders that look like CUDA toolkits and NVIDIA's wheels, made of empty files."""

from pathlib import Path

from jld.toolchain.cuda_home import LIBRARIES

CUDNN = ("libcudnn", "libcudnn_ops", "libcudnn_cnn")


def make_toolkit(root: Path, version: int = 12020, cudnn: int = 8) -> Path:
    """A complete toolkit, its cuDNN of that version (0: none); returns its nvcc."""
    write(root / "include" / "cuda_runtime_api.h", f"#define CUDART_VERSION  {version}\n")
    for header in (*LIBRARIES.values(), "driver_types.h", "cuda_bf16.h"):
        write(root / "include" / header)
    if version >= 13000:
        write(root / "include" / "cccl" / "cub" / "cub.cuh")
    for library in LIBRARIES:
        write(root / "lib64" / f"{library}.{version // 1000}")
        (root / "lib64" / library).symlink_to(f"{library}.{version // 1000}")
    for path in (root / "include" / "cudnn.h", *(root / "lib64").glob("libcudnn*")):
        path.unlink()
    if cudnn:
        make_cudnn(root / "include", root / "lib64", cudnn)
        (root / "lib64" / "libcudnn.so").symlink_to(f"libcudnn.so.{cudnn}")
    return write(root / "bin" / "nvcc", executable=True)


def make_cudnn(include: Path, lib: Path, version: int) -> None:
    """Headers and libraries of cuDNN, with versioned names only."""
    write(include / "cudnn.h")
    write(include / "cudnn_version.h", f"#define CUDNN_MAJOR {version}\n")
    for name in CUDNN:
        write(lib / f"{name}.so.{version}")


def make_wheels(site: Path, cuda_major: int = 13, with_compiler: bool = True) -> None:
    """NVIDIA's wheels for CUDA 13, those for CUDA 12 have a folder per library and no compiler."""
    folder = site / "nvidia" / "cu13"
    if cuda_major == 13:
        make_toolkit(folder, 13000, cudnn=0)
        (folder / "lib64").rename(folder / "lib")
        for path in (folder / "lib").glob("*.so"):
            path.unlink()  # wheels have no names without a version
        if not with_compiler:
            (folder / "bin" / "nvcc").unlink()
    make_cudnn(site / "nvidia" / "cudnn" / "include", site / "nvidia" / "cudnn" / "lib", 9)
    name = f"nvidia_cudnn_cu{cuda_major}-9.1.0.dist-info"
    write(
        site / name / "METADATA",
        f"Metadata-Version: 2.1\nName: nvidia-cudnn-cu{cuda_major}\nVersion: 9.1.0\n",
    )


def write(path: Path, text: str = "", executable: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if executable:
        path.chmod(0o755)
    return path
