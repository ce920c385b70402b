"""Makes the kits of this folder importable for its subfolders: `from control_kit import running_control`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
