"""Human action recognition: frame-mAP, F1, recall, precision, AUROC from boxes with scores."""
