"""Without any extra, every command works or names the extra that it needs, on one line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from microg4m_hf.cli.main import GROUPS, make_parser
from microg4m_hf.data import ensure_sample
from tests.support.environments import base_requirements, linked_environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the environment consists of links, which Windows restricts")

SAMPLE = "--source sample"
# command -> the extra it needs, "" for none, or the message of a command that cannot reach its use of an extra.
WORKS, NO_RUN, NO_FILE = "", "does not contain a finished run", "does not exist"
COMMANDS = {
    "data sample": WORKS,
    f"data check {SAMPLE}": WORKS,
    f"data stats {SAMPLE}": WORKS,
    f"data push me/x {SAMPLE} --dry-run": WORKS,
    f"data export-ava --out ava {SAMPLE}": WORKS,
    "data unpack --data-dir none": "is not a folder",
    "demo --out demo --steps 1": "train",
    "models list": WORKS,
    "models info x3d_s": "train",
    "models convert x3d.pyth x3d --name x3d_s": "train",
    "models push-released me --only x3d_s": "train",
    "train har --config demo": "train",
    "train vlm --config qwen2_5_vl_lora source=sample": "vlm",
    "train list": WORKS,
    "train show demo": WORKS,
    "push no_run me/x": NO_RUN,
    "weights list": WORKS,
    "weights fetch nothing": "is not a model",
    "weights where nothing": "is not a model",
    "weights verify": WORKS,
    f"predict vqa --model blind {SAMPLE} --out blind": WORKS,
    f"predict vqa --model qwen {SAMPLE} --out local": "vlm",
    f"predict caption --model qwen {SAMPLE} --out captions": "vlm",
    f"predict caption --model any --runner api --base-url http://localhost:9/v1 {SAMPLE} --out api": "api",
    f"predict har --model x3d_s {SAMPLE}": "train",
    f"score vqa --predictions blind {SAMPLE} --resamples 10": WORKS,
    f"score vqa --predictions blind {SAMPLE} --metrics svqa --encoder enc --resamples 0": "text",
    f"score vqa --predictions blind {SAMPLE} --metrics meteor_nltk --resamples 0": "text",
    f"score vqa --predictions blind {SAMPLE} --metrics meteor_1_5 --resamples 0": "meteor",
    f"score vqa --predictions blind {SAMPLE} --metrics bertscore --bert-model qwen --resamples 0": "text",
    f"score caption --predictions none.jsonl {SAMPLE}": NO_FILE,
    f"score har --predictions none.csv {SAMPLE}": NO_FILE,
    f"reproduce har {SAMPLE}": "train",
    f"reproduce caption qwen --row Qwen2.5-VL {SAMPLE} --out rows": "vlm",
    f"reproduce vqa qwen --row Qwen2.5-VL {SAMPLE} --out rows": "vlm",
    f"reproduce gap --predictions none.csv --earth-predictions none.csv {SAMPLE}": NO_FILE,
    f"report blind {SAMPLE} --out report --resamples 10": WORKS,
    f"explore blind {SAMPLE}": "explore",
    f"gap orientation x3d_s {SAMPLE}": "train",
    f"gap leak none none {SAMPLE}": NO_FILE,
    f"gap transfer --earth none.csv --earth-references none.csv --space none.csv {SAMPLE}": NO_FILE,
    f"compare vqa blind blind {SAMPLE} --resamples 10": WORKS,
    "curate init none --out work --domain real": "neither a film nor a folder",
    "curate run none": "is not a work folder",
    "curate status none": "is not a work folder",
    "curate release none": "is not a work folder",
    "curate texts none --model any --runner api --base-url http://localhost:9/v1": "is not a work folder",
    "curate actions none --model x3d_s": "is not a work folder",
    "curate review none": "explore",
    "curate export-review none --to cvat --out annotations": "no clip with tracks",
    "curate import-review none none.xml --to cvat --reviewer anna": "neither a file",
    "watch none.mp4": "there is no such file",
    "metrics push me --folder none": "holds no metric modules",
    "env": WORKS,
}
RUN = """
import contextlib, io, json, sys, traceback
from microg4m_hf.cli.main import main
results = {}
for words in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words.split())
        except SystemExit as end:
            code = f"usage: {end.code}"
        except BaseException:
            traceback.print_exc()
    results[words] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return linked_environment(folder / "env", base_requirements())


@pytest.fixture(scope="module")
def results(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    folder = tmp_path_factory.mktemp("work")
    (folder / "qwen").mkdir()
    (folder / "qwen" / "config.json").write_text('{"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VL"]}')
    (folder / "x3d.pyth").touch()
    cache = folder / ".cache" / "microg4m"
    cache.mkdir(parents=True)
    (cache / ensure_sample().name).symlink_to(ensure_sample())  # test_wheel draws one without extras
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "x"}
    ran = subprocess.run(
        [base, "-c", RUN, json.dumps(list(COMMANDS))], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_works_or_names_the_extra(words: str, results: dict[str, list]) -> None:
    expected = COMMANDS[words]
    code, _, errors = results[words]
    assert "Traceback" not in errors
    if expected == WORKS:
        assert code == 0, errors
        return
    assert code == 2, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("microg4m: ")
    assert (f"pip install 'microg4m-hf[{expected}]'" if expected.isalpha() else expected) in last


def test_every_command_is_here() -> None:
    parsers = {group: make_parser(group) for group in GROUPS}
    listed = {tuple(words.split()[:2]) for words in COMMANDS}
    for group, parser in parsers.items():
        kinds = next((a.choices for a in parser._actions if isinstance(a.choices, dict)), {None: parser})
        for kind in kinds:
            assert any(words[0] == group and kind in (None, *words[1:]) for words in listed), (group, kind)


def test_python_users_get_the_name_of_the_extra(base: Path) -> None:
    code = (
        "import microg4m_hf\n"
        "for use in ('models.create', 'models.MicroG4MHarConfig', 'training.run_training', 'metrics.har_scores',\n"
        "            'inference.predict_texts', 'bench.make_report', 'training.load_recipe'):\n"
        "    package, _, name = use.partition('.')\n"
        "    try:\n        getattr(getattr(microg4m_hf, package), name)\n        print(use, 'works')\n"
        "    except microg4m_hf.MicroG4MError as error:\n        print(error)\n"
    )
    printed = subprocess.run([base, "-c", code], capture_output=True, text=True, check=True, env={}).stdout.splitlines()
    assert printed[0] == (
        "microg4m_hf.models.create needs the package torch, which is not installed; pip install 'microg4m-hf[train]'"
    )
    assert printed[1].endswith(
        "needs the package transformers, which is not installed; pip install 'microg4m-hf[train]'"
    )
    assert all(line.endswith("works") or "pip install 'microg4m-hf[" in line for line in printed)
