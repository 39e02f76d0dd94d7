"""Run the models of rows: weights by name, the published split, and how far other pixels move the logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MicroG4MError, RecipeError
from ...exits import explain
from ...models.registry import for_training
from ...models.weights import WEIGHTS, WeightsFile, epoch_of
from ..runs import RunInfo
from .har_evidence import logits_of, shifts_of

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ...training.recipe import Recipe

SAMPLE = 32  # key frames that are predicted from both kinds of pixels
Location = Mapping[str, "str | None"]


@dataclasses.dataclass(frozen=True)
class HarOptions:
    """How rows are reproduced.

    Args:
        where: ``data_dir``, ``source`` and ``revision`` of the dataset.
        references: A file of references instead of the dataset; only for prediction files.
        predictions: Prediction files by row, instead of running models.
        released_results: Prediction files that the authors released, by row, to compare with.
        weights: Checkpoints of your own, by row.
        weights_revision: Commit, tag or branch of the authors' model repository.
        overrides: ``section.key=value`` words for the recipe; a row with such settings is not the published test.
        as_released: Judge predictions from frames that FFmpeg extracts as JPEG and OpenCV reads and resizes, as in the
            published runs, and compare them with predictions from decoded clips.
        corrected: Also score with the corrected protocol, and predict with corrected networks that have weights.
        workers: Processes that decode.
        batch: Key frames per forward pass.
    """

    where: Location
    references: str | None = None
    predictions: Mapping[str, RunInfo] | None = None
    released_results: Mapping[str, RunInfo] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weights_revision: str | None = None
    overrides: Sequence[str] = ()
    as_released: bool = False
    corrected: bool = False
    workers: int | None = None
    batch: int = 8


def error_line(error: Exception) -> str:
    """Return an error that a user can cause as one line, and raise any other."""
    text = explain(error, "reproduce har")
    if text is None:
        raise error
    return " ".join(text.split())


class RowRunner:
    """Runs the models of rows one after another with one accelerator."""

    def __init__(self, out: Path, options: HarOptions, names: Sequence[str | None]) -> None:
        from ...training.build import build_accelerator
        from ...training.run_folder import RunFolder

        self.out, self.options = out, options
        if options.batch < 1:
            raise RecipeError(f"a batch of {options.batch} predicts nothing; give --batch-size at least 1")
        for name in options.weights:
            if name not in names and name.removesuffix("_corrected") not in names:
                raise RecipeError(
                    f"weights of {name} are given, but not that row; name the row, too, or leave them out"
                )
        first = str(names[0])
        self.accelerator: Accelerator = build_accelerator(self._recipe(first)[0], RunFolder(out / first), trains=False)

    def close(self) -> None:
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def predict(self, name: str, earth: Path | None = None) -> dict[str, Any]:
        """Predict a row into its run folder, and ``earth``, a dataset in AVA's format. Every process must call this."""
        recipe, changed = self._recipe(name)
        file, model = self._together(lambda: self._load(name, recipe))
        folder = self.out / name
        released = recipe.data.decoder == "as_released"
        judged = folder / "as_released" if released else folder
        if released:
            self._run(model, _with_decoder(recipe, "auto"), folder)
        self._run(model, recipe, judged, earth)
        path = judged / "predictions" / "test.parquet"
        pixels = self._compare_decoded(folder, path) if released else self._sample_released(model, recipe, folder, path)
        found = {"path": path, "file": file, "changed": changed, "pixels": pixels}
        if self.options.corrected and (corrected := self._corrected(name)) is not None:
            found["corrected"] = corrected
        return found

    def _sample_released(self, model: Any, recipe: Recipe, folder: Path, path: Path) -> dict[str, Any]:
        """Measure how far the logits of some key frames move from our pixels to those of the published runs."""
        from ...data.video.released_frames import check_programs
        from ...training.predict_run import predict_sample

        programs, problem = self._try_together(check_programs)
        if problem is not None:
            text = f"pixels: clips were decoded from mp4 and not read as JPEG, which was not measured ({problem})"
            return {"decoder": recipe.data.decoder, "text": text}
        fed = _with_decoder(recipe, "as_released")
        sample = predict_sample(
            self.accelerator, model, fed, folder, "test-as_released", SAMPLE, batch=self.options.batch
        )
        shifts = shifts_of(path, sample)
        found = {"decoder": recipe.data.decoder, **_describe(shifts, programs), "shifts": shifts}
        return found | {"text": f"pixels: {_moves(found)}; --as-released takes the latter"}

    def _compare_decoded(self, folder: Path, path: Path) -> dict[str, Any]:
        """Compare predictions from our pixels with a file from those of the published runs."""
        from ...data.video.released_frames import check_programs

        decoded = folder / "predictions" / "test.parquet"
        shifts = self._together(lambda: shifts_of(decoded, logits_of(path)))
        found = {"decoder": "as_released", **_describe(shifts, check_programs()), "decoded": str(decoded)}
        return found | {"text": "pixels: other versions of FFmpeg or OpenCV than the published runs had"}

    def is_stuck_by(self, error: Exception) -> bool:
        """Whether other processes wait for this one, which an error of the system took out of the row."""
        return self.accelerator.num_processes > 1 and not isinstance(error, MicroG4MError)

    def _run(self, model: Any, recipe: Recipe, folder: Path, earth: Path | None = None) -> dict[str, Any]:
        from ...training.predict_run import predict_with
        from ...training.run_folder import RunFolder

        self._together(lambda: RunFolder(folder).begin(recipe) if self.accelerator.is_main_process else None)
        return predict_with(self.accelerator, model, recipe, folder, ava_format=earth, batch=self.options.batch)

    def _recipe(self, name: str, model: str | None = None, weights: str | None = None) -> tuple[Recipe, list[str]]:
        """Return how the model of a row is fed, and which settings are not the published ones."""
        from ...training.predict_run import recipe_of
        from ...training.recipe import PRACTICAL
        from ...training.recipe_io import differences, override_recipe

        if model is None:  # the weights are recorded in config.yaml; see _load
            weights = self.options.weights.get(name)
            model = name if weights is not None else f"released:{name}"
        decoder = "as_released" if self.options.as_released else None
        own = {"workers": self.options.workers, "on_error": "skip", "decoder": decoder, **self.options.where}
        recipe = override_recipe(recipe_of(model, weights, **own), ["loop.mixed_precision=no"])
        changed = override_recipe(recipe, self.options.overrides)
        lines = differences(recipe.to_dict(), changed.to_dict())
        return changed, [line for line in lines if line.partition(":")[0] not in PRACTICAL | {"variant"}]

    def _load(self, name: str, recipe: Recipe) -> tuple[WeightsFile, Any]:
        from ...models.pyslowfast import load_pyslowfast
        from ...models.weights import fetch_released, state_for

        given = self.options.weights.get(name)
        if given is None:
            file = fetch_released(name, revision=self.options.weights_revision)
        else:
            file = WeightsFile(Path(given), given)
        data = recipe.data
        settings: dict[str, Any] = {
            "num_frames": data.num_frames,
            "sampling_rate": data.stride,
            "test_size": data.eval_short_side,
        }
        return file, load_pyslowfast(name, state_for(name, file), **settings, **recipe.model.overrides)

    def _corrected(self, name: str) -> dict[str, Any] | None:
        """Predict with the corrected network of a row, if there is one and it has weights."""
        from ...training.predict_run import load_model

        better = for_training(name)
        if better == name:
            return None
        given = self.options.weights.get(better)
        if given is None:
            return {"network": better, "reason": f"no released weights; give --weights {better}=RUN_OR_FILE"}
        is_checkpoint = Path(given).is_file()
        recipe, _ = self._recipe(better, better if is_checkpoint else given, given if is_checkpoint else None)
        load = (lambda: self._load(better, recipe)[1]) if is_checkpoint else (lambda: load_model(recipe))
        summary = self._run(self._together(load), recipe, self.out / better)["test"]
        return {"network": better, "paper": summary["scores"], "network_instance": summary["instance"]}

    def _together(self, job: Callable[[], Any]) -> Any:
        """Do a job on every process, and fail on all of them if it fails on one: none may wait for another."""
        result, problem = self._try_together(job)
        if problem is not None:
            raise RecipeError(problem)
        return result

    def prepare_earth(self, folder: Path, target: Path) -> Path:
        """Return a folder in AVA's format: the given one, or JHMDB as downloaded, converted once into ``target``."""
        from ...training.jhmdb import convert

        if not (folder / "Rename_Images").is_dir():
            return folder
        missing = not (target / "annotations.csv").is_file()
        self._together(lambda: convert(folder, target) if missing and self.accelerator.is_main_process else None)
        return target

    def _try_together(self, job: Callable[[], Any]) -> tuple[Any, str | None]:
        from accelerate.utils import gather_object

        result, problem = None, None
        try:
            result = job()
        except (MicroG4MError, OSError) as error:
            problem = error_line(error)
        problems = [text for text in gather_object([problem]) if text]
        return result, problems[0] if problems else None


def _with_decoder(recipe: Recipe, decoder: str) -> Recipe:
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, decoder=decoder))


def _describe(shifts: np.ndarray, programs: str) -> dict[str, Any]:
    size = np.abs(shifts)
    rms = float(np.sqrt(np.mean(np.square(size)))) if size.size else 0.0
    mean = float(size.mean()) if size.size else 0.0
    return {
        "programs": programs,
        "boxes": len(shifts),
        "mean": mean,
        "rms": rms,
        "largest": float(size.max(initial=0.0)),
    }


def pixels_line(pixels: Mapping[str, Any], map_decoded: float, map_released: float) -> str:
    """Say what the two kinds of pixels make of the logits and of the mAP, for a row that was predicted from both.

    Args:
        pixels: What the run measured.
        map_decoded: The mAP of clips decoded from mp4, in percent.
        map_released: The mAP of the pixels of the published runs, in percent.

    Example:
        >>> sizes = {"boxes": 9, "mean": 0.01, "rms": 0.02, "largest": 0.5, "programs": "FFmpeg 5.1.9, OpenCV 5.0.0"}
        >>> pixels_line(sizes, 46.4, 46.41).partition(", and")[2]
        ' the mAP moves from 46.40 to 46.41 (+0.01), which is judged; the weights or the metric make the rest'
    """
    moved = f"from {map_decoded:.2f} to {map_released:.2f} ({map_released - map_decoded:+.2f})"
    return (
        f"pixels: {_moves(pixels)}, and the mAP moves {moved}, which is judged; the weights or the metric make the rest"
    )


def _moves(pixels: Mapping[str, Any]) -> str:
    return (
        f"logits move by {pixels['mean']:.4f} on average, {pixels['rms']:.4f} (RMS), {pixels['largest']:.4f} at most "
        f"({pixels['boxes']} boxes) between frames decoded from mp4 and JPEG frames of {pixels['programs']}"
    )


def weights_causes(name: str, file: WeightsFile) -> list[str]:
    """Say what is known about the weights that may explain a difference.

    Args:
        name: The row.
        file: The file that was loaded.
    """
    tested, epoch = WEIGHTS[name].epochs, epoch_of(name, file.name)
    if not file.name and tested:
        return [f"weights: {file.origin} was given and is not known to be the released file"]
    if tested and epoch is None:
        return [f"weights: {file.origin} does not show its epoch; epoch {tested[0]} was tested"]
    if tested and epoch != tested[0]:
        return [f"weights: {file.origin} is of epoch {epoch}; epoch {tested[0]} was tested"]
    return []
