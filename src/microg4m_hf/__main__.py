"""Run the ``microg4m`` command as ``python -m microg4m_hf``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
