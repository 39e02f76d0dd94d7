"""Load MicroG-4M with ``datasets`` 2.21 to 3.6: ``load_dataset("microg4m.py", "har", trust_remote_code=True)``.

Requires ``pip install microg4m-hf``. Newer versions do not run scripts; use ``import microg4m_hf`` there.
"""

from microg4m_hf.data.builder import MicroG4M  # noqa: F401
