"""Run an exported task file with ``inspect_ai`` and a model that answers from a list, and print what was logged.

    python inspect_run.py TASKS.py JOBS.json

A job is ``{"task": name, "limit": samples, "epochs": number, "arguments": {…}}``. This is for another environment.
"""

import json
import sys
import warnings
from pathlib import Path

from inspect_ai import eval as run_task
from inspect_ai.model import ModelOutput, ModelUsage, get_model

WORDS = ("the crew floats", "Two.", "a man eats in the cabin", "Not mentioned.", "the astronauts are smiling", "")


def main() -> None:
    warnings.simplefilter("ignore")
    found = []
    for job in json.loads(Path(sys.argv[2]).read_text()):
        shown = []

        def answer(messages, tools, tool_choice, config, shown=shown):
            content = messages[-1].content
            shown.append([part.type for part in content])
            output = ModelOutput.from_content("mockllm/model", WORDS[len(shown) % len(WORDS)])
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # else it downloads a tokenizer
            return output

        [log] = run_task(
            f"{sys.argv[1]}@{job['task']}",
            model=get_model("mockllm/model", custom_outputs=answer, memoize=False),
            task_args=job["arguments"],
            limit=job["limit"],
            epochs=job["epochs"],
            max_samples=1,
            display="none",
            log_format="json",
        )
        [scored] = log.results.scores if log.results else [None]
        samples = [
            {"epoch": sample.epoch, "score": score.value, "answer": score.answer, **score.metadata}
            for sample in log.samples or []
            for score in (sample.scores or {}).values()
        ]
        metrics = {name: metric.value for name, metric in scored.metrics.items()} if scored else {}
        error = log.error.message if log.error else ""
        found.append({"status": log.status, "error": error, "metrics": metrics, "samples": samples, "shown": shown})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
