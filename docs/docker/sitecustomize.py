"""For the Docker image, where every start of Python imports it: one name for every container and host.

Jittor names its cache after the kernel and the name of the machine, which differ from the build's in every
container, and would compile everything again. What it compiles depends on neither; the processor, which it
does depend on, the compiler and Python stay in the name of the cache.
"""

import platform

NAME = f"{platform.system()}-{platform.machine()}-container"
platform.platform = lambda *_, **__: NAME
platform.node = lambda: "jld"
