"""Makes the kits of this folder, and the etcd of the stores, importable for its subfolders: `import control_kit`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "store")]
