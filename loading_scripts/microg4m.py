"""MicroG-4M for ``datasets`` 2.21 to 3.6: ``load_dataset("microg4m.py", "har", trust_remote_code=True)``.

Newer versions run no scripts: there, ``import microg4m_hf`` is enough. Needs ``pip install microg4m-hf``.
"""

from microg4m_hf.data.builder import MicroG4M  # noqa: F401
