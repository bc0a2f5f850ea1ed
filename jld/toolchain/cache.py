"""Files that Jittor and jld keep per user: where they lie, and how they change while others read them."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from pathlib import Path


def jittor_cache_root() -> Path:
    """The folder Jittor compiles into. JITTOR_HOME is sticky: Jittor stores it and later runs obey it."""
    return Path(os.environ.get("JITTOR_HOME") or Path.home()) / ".cache" / "jittor"


def renew_link(link: Path, to: Path) -> None:
    """Makes `link` point at `to`, wherever it pointed before; a file or folder in its place stays."""
    if link.is_symlink() and link.readlink() == to:
        return
    if link.exists() and not link.is_symlink():
        return  # Jittor's own download: leave it
    link.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may start at once: create aside and rename, which is atomic.
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(to)
    temporary.replace(link)


def python_config() -> Path | None:
    """A working python-config for this interpreter, or None when Jittor finds one itself.

    Virtual environments have none, and Jittor stops with "python3.X-config not found". A three-line script
    that answers its two questions is enough. Can go when Jittor asks sysconfig.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    bindir = Path(sysconfig.get_config_var("BINDIR") or "")
    for candidate in (
        Path(sys.executable).parent / f"python{version}-config",
        bindir / f"python{version}-config",
    ):
        if candidate.is_file():
            return candidate
    script = jittor_cache_root() / "jld" / f"python{version}-config"
    include = sysconfig.get_paths()["include"]
    text = (
        '#!/bin/sh\ncase "$1" in\n'
        f'--includes) echo "-I{include}" ;;\n'
        f'--extension-suffix) echo "{sysconfig.get_config_var("EXT_SUFFIX")}" ;;\nesac\n'
    )
    if not script.is_file() or script.read_text() != text:
        script.parent.mkdir(parents=True, exist_ok=True)
        temporary = script.with_name(f"{script.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.chmod(temporary.stat().st_mode | stat.S_IXUSR)
        temporary.replace(script)
    return script
