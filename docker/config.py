"""For jetson-containers: what of this image depends on the board. It gives `package`, which the
Dockerfile's head began.

jetson-containers build --package-dirs=FOLDER-OF-ATTUNE/docker attune
"""

from pathlib import Path

from jetson_containers import CUDA_ARCHITECTURES

# The Dockerfile copies from the project's root.
package["path"] = str(Path(package["path"]).resolve().parent)
package["dockerfile"] = "docker/Dockerfile"

architectures = ";".join(str(each) for each in CUDA_ARCHITECTURES)
package["build_args"] = {
    "LLAMA_FLAGS": f"-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES={architectures}"
}
