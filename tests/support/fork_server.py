"""A process that has imported torch and transformers and forks trainings, so that a start costs no imports.

It reads one JSON line per request: ``{"start": [words], "env": {…}, "log": path}`` returns the process id,
``{"wait": id}`` the exit status (negative: the signal). Every training is a process group of its own, which the test
can kill.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path


def child(request: dict[str, object]) -> None:
    """Run the training in this process, and exit."""
    code = 70
    try:
        os.setsid()
        os.environ.update(request["env"])  # type: ignore[call-overload]
        log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        import sharded_on_cpu  # beside this file

        from microg4m_hf.training import har

        sharded_on_cpu.allow()
        code = har.main(request["start"])  # type: ignore[arg-type]
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        code = 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    import gc

    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import torch
    import torch.utils.data
    import torchvision.transforms.v2  # noqa: F401
    from tqdm import tqdm

    from microg4m_hf import models
    from microg4m_hf.data import builder, tables  # noqa: F401
    from microg4m_hf.training import build, card, loop, predict_run  # noqa: F401
    from microg4m_hf.training.loading import loader  # noqa: F401

    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread of it, which a fork would not have
    # Only imports: a tensor operation would start torch's threads, and compiled trainings abort without them in a fork.
    _ = models.create, models.load_saved
    gc.collect()
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if pid == 0:
                child(request)
            answer = {"pid": pid}
        else:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)
    gc.unfreeze()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    main()
