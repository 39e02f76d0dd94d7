"""Fine-tune a network with ``transformers.Trainer``, using the library's dataset, collator and metric.

    python examples/har_with_trainer.py --out runs/with_trainer          # a tiny network on the built-in sample
    python examples/har_with_trainer.py --model i3d_8x8_r50 --source hub --crop 224 --epochs 40 --out runs/i3d

The Trainer silently drops boxes of batches with different numbers of persons, so persons are padded and masked.
"""

from __future__ import annotations

import argparse

from transformers import Trainer, TrainingArguments

from microg4m_hf.metrics import make_compute_metrics
from microg4m_hf.models import VARIANTS, create
from microg4m_hf.training import Data, KeyFrameWindows, PaddedCollator, PaddedModel, split_items


def main(argv: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny_slow", choices=sorted(VARIANTS))
    parser.add_argument("--source", default="sample")
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", required=True)
    args = parser.parse_args(argv)

    variant = VARIANTS[args.model]
    data = Data(
        num_frames=variant.num_frames,
        stride=variant.sampling_rate,
        source=args.source,
        key_frame="exact",
        short_side=(args.crop, args.crop * 5 // 4),
        crop=args.crop,
        eval_short_side=args.crop,
    )
    train = KeyFrameWindows(split_items(data, "train"), data, training=True)
    # The center crop gives clips of any shape one size, so that they fit into one batch.
    held_out = KeyFrameWindows(split_items(data, "validation"), data, center_crop=True)
    model = create(args.model)
    trainer = Trainer(
        model=PaddedModel(model),
        args=TrainingArguments(
            output_dir=args.out,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch,
            per_device_eval_batch_size=args.batch,
            learning_rate=1e-3,
            remove_unused_columns=False,  # the items have no columns
            label_names=["labels", "key_frames"],  # what the metric gets
            dataloader_num_workers=1,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
        ),
        train_dataset=train,
        eval_dataset=held_out,
        data_collator=PaddedCollator(model.config),
        compute_metrics=make_compute_metrics(),
    )
    trainer.train()
    scores = trainer.evaluate()
    model.save_pretrained(args.out)
    print({name: round(value, 4) for name, value in scores.items() if name.startswith("eval_")})
    return scores


if __name__ == "__main__":
    main()
