"""The networks of the benchmark as transformers models."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .build import config_of as config_of, create as create, wrap as wrap
    from .configuration import MicroG4MHarConfig as MicroG4MHarConfig
    from .modeling import (
        MicroG4MHarForVideoClassification as MicroG4MHarForVideoClassification,
        MicroG4MHarModel as MicroG4MHarModel,
    )
    from .processing import MicroG4MHarProcessor as MicroG4MHarProcessor
    from .pyslowfast import (
        export_pyslowfast as export_pyslowfast,
        load_pyslowfast as load_pyslowfast,
        load_saved as load_saved,
        save_pyslowfast as save_pyslowfast,
    )
    from .registry import (
        CORRECTED as CORRECTED,
        PUBLISHED as PUBLISHED,
        VARIANTS as VARIANTS,
        for_training as for_training,
    )
    from .released_repos import push_released as push_released
    from .weights import load_pretrained as load_pretrained, load_released as load_released

__getattr__, __dir__, __all__ = attach(__name__)
