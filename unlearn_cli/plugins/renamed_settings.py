"""Settings that were renamed; an old name is refused with the new one."""

RELEARNING = {"cap": "max_steps", "every": "check_every"}
RENAMED: dict[str, dict[str, str]] = {  # plug-in: old name: new name
    # methods
    "blindspot": {"epochs": "student_epochs", "lr": "student_lr"},
    "emmn": {"maximizing": "maximizing_size"},
    "fisher": {"records": "max_records", "max_retain_loss": "max_accuracy_drop"},
    "gaussian_amnesiac": {"epochs": "impair_epochs", "lr": "impair_lr", "clip": "clip_labels"},
    "gkt": {
        "attention": "attention_weight",
        "balance": "balance_weight",
        "clip": "max_grad_norm",
        "confidence": "confidence_weight",
        "memory": "memory_size",
        "remembered": "memory_share",
        "student_steps": "student_steps_per_cycle",
        "width": "generator_width",
    },
    "neggrad": {"num_steps": "steps"},
    "unsir": {"max_retain_loss": "max_relative_accuracy_drop", "noise_share": "noise_ratio"},
    # metrics
    "anamnesis_index": RELEARNING,
    "relearn_time": RELEARNING,
    # attacks
    "canaries": {"guessed": "guess_share", "most": "max_epsilon"},
    "linear_probe": {"records": "max_records"},
    "relearn": RELEARNING,
    "svc_entropy": {"cap": "max_records"},
    "svc_l1": {"cap": "max_records"},
}
