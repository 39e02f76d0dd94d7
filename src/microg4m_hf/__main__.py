"""``python -m microg4m_hf`` is the ``microg4m`` command."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
