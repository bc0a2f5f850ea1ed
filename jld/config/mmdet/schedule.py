"""mmDetection's optimizer, learning rates, lengths and intervals as jld's top-level keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.config.foreign import Section
from jld.errors import ConfigError

ORIGIN = "mmDetection"
OPTIMIZERS = {
    "SGD": ("lr", "momentum", "weight_decay", "dampening", "nesterov"),
    "Adam": ("lr", "betas", "eps", "weight_decay"),
    "AdamW": ("lr", "betas", "eps", "weight_decay"),
}
# The biases that mmDetection means: not those of normalisations, which a backbone has only.
_BIASES = {"match": "*.bias", "but_not": ["*.gn.*", "backbone.*"]}


def translate_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """optimizer, scheduler, lengths, intervals and weights to start from.

    Raises:
        ConfigError: a kind, key or value without counterpart.
    """
    found: dict[str, Any] = {}
    if config.get("load_from"):
        found["pretrained_weights"] = config["load_from"]
    if config.get("resume_from"):
        found["resume_path"] = config["resume_from"]
    if config.get("fp16") is not None:
        found["precision"] = "float16"
    found |= _optimizer(config) | _length(config) | _intervals(config)
    if "lr_config" in config:
        found["scheduler"] = _policy(Section(config["lr_config"], "lr_config", ORIGIN))
    elif config.get("param_scheduler"):
        found["scheduler"] = _parameter_schedulers(config["param_scheduler"])
    return found


def _optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    wrapper = config.get("optim_wrapper")
    if wrapper is None:
        if config.get("optimizer") is None:
            return {}
        clip = (config.get("optimizer_config") or {}).get("grad_clip")
        return {"optimizer": _one_optimizer(Section(config["optimizer"], "optimizer", ORIGIN), clip, None)}
    section = Section(wrapper, "optim_wrapper", ORIGIN)
    kind = section.choose(("OptimWrapper", "AmpOptimWrapper")) if "type" in wrapper else "OptimWrapper"
    rules, clip = section.take("paramwise_cfg", None), section.take("clip_grad", None)
    found: dict[str, Any] = {"optimizer": _one_optimizer(section.section("optimizer"), clip, rules)}
    section.copy(("loss_scale", "dtype"))
    if kind == "AmpOptimWrapper":
        found["precision"] = "float16"
    if section.take("accumulative_counts", 1) != 1:
        found["accumulate_steps"] = section.take("accumulative_counts")
    section.finish()
    return found


def _one_optimizer(section: Section, clip: Any, rules: Any) -> dict[str, Any]:
    keys = section.choose(OPTIMIZERS)
    translated = {"type": section.type, **section.copy(keys)}
    rules = section.take("paramwise_cfg", rules)
    section.finish()
    if clip:
        translated["grad_clip"] = dict(clip)
    groups = _groups(Section(rules, f"{section.path}.paramwise_cfg", ORIGIN)) if rules else []
    return {**translated, "parameter_groups": groups} if groups else translated


def _groups(section: Section) -> list[dict[str, Any]]:
    section.expect("norm_decay_mult", 1)
    lr, decay = section.take("bias_lr_mult", 1.0), section.take("bias_decay_mult", 1.0)
    section.copy(("bypass_duplicate",))
    section.finish()
    return [] if (lr, decay) == (1, 1) else [{**_BIASES, "lr_mult": lr, "decay_mult": decay}]


def _length(config: Mapping[str, Any]) -> dict[str, Any]:
    if "runner" in config or "total_epochs" in config:
        runner = config.get("runner") or {"max_epochs": config["total_epochs"]}
        return _counted(runner.get("max_epochs"), runner.get("max_iters"))
    loop = config.get("train_cfg") or {}
    found = _counted(loop.get("max_epochs"), loop.get("max_iters"))
    if found and found["max_iter"] is None and "val_interval" in loop:
        found["eval_interval"] = loop["val_interval"]
    return found


def _counted(epochs: Any, steps: Any) -> dict[str, Any]:
    return {} if epochs is None and steps is None else {"max_epoch": epochs, "max_iter": steps}


def _intervals(config: Mapping[str, Any]) -> dict[str, Any]:
    hooks = config.get("default_hooks") or {}
    by_epoch = (config.get("runner") or {}).get("max_iters") is None
    places = {
        "eval_interval": (config.get("evaluation"), by_epoch),
        "checkpoint_interval": (config.get("checkpoint_config", hooks.get("checkpoint")), by_epoch),
        "log_interval": (config.get("log_config", hooks.get("logger")), True),
    }
    return {
        name: section["interval"]
        for name, (section, counts) in places.items()
        if counts and section and "interval" in section
    }


def _policy(section: Section) -> dict[str, Any]:
    """`lr_config` of 2.x."""
    warmup = section.take("warmup", None)
    translated: dict[str, Any] = {"warmup": warmup}
    if warmup is not None:
        section.expect("warmup_by_epoch", False)
        translated["warmup_iters"] = section.take("warmup_iters", 0)
        translated["warmup_ratio"] = section.take("warmup_ratio", 0.1)
    policy = section.take("policy")
    if policy != "step":
        raise ConfigError(f"lr_config.policy: {policy!r} is not covered, only 'step'.")
    step = section.take("step")
    translated |= {"type": "StepLR", "milestones": step if isinstance(step, int) else list(step)}
    translated["gamma"] = section.take("gamma", 0.1)
    translated |= section.copy(("by_epoch", "min_lr"))
    section.finish()
    return translated


def _parameter_schedulers(sections: Any) -> dict[str, Any]:
    """`param_scheduler` of 3.x: at most one warm-up and one schedule of steps."""
    translated: dict[str, Any] = {}
    for index, values in enumerate(sections if isinstance(sections, list | tuple) else [sections]):
        section = Section(values, f"param_scheduler.{index}", ORIGIN)
        kind = section.choose(("LinearLR", "ConstantLR", "MultiStepLR"))
        section.expect("begin", 0)
        by_epoch, end = section.take("by_epoch", True), section.take("end", None)
        if kind == "MultiStepLR":
            own = {"type": "StepLR", "milestones": list(section.take("milestones")), "by_epoch": by_epoch}
            own["gamma"] = section.take("gamma", 0.1)
        elif by_epoch:
            raise ConfigError(f"{section.path}: a warm-up counted in epochs is not covered.")
        else:
            factor = section.take("start_factor" if kind == "LinearLR" else "factor", 1 / 3)
            own = {"warmup": kind.removesuffix("LR").lower(), "warmup_iters": end, "warmup_ratio": factor}
        section.finish()
        if set(own) & set(translated):
            raise ConfigError(f"{section.path}: two schedules of one kind are not covered.")
        translated |= own
    if "type" not in translated:
        raise ConfigError("param_scheduler: there is no MultiStepLR, and nothing else is covered.")
    return translated
