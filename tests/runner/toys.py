"""A detector, a dataset and a distiller of a few lines each: enough for the loop, and quick to compile."""

from types import SimpleNamespace

import numpy as np

from jld.toolchain import jittor as jt


class ToyLoader:
    """Batches of random images whose order and content follow from (seed, epoch, index)."""

    def __init__(self, num_batches=5, seed=0, bad_batch=None):
        self.num_batches, self.seed, self.bad_batch = num_batches, seed, bad_batch
        self.served = []

    def __len__(self):
        return self.num_batches

    def epoch(self, epoch, start=0):
        for index in range(start, self.num_batches):
            self.served.append((epoch, index))
            rng = np.random.default_rng([self.seed, epoch, index])
            images = rng.normal(size=(2, 3, 4, 4)).astype(np.float32)
            if self.bad_batch == (epoch, index):
                images[1, 0, 0, 0] = np.nan
            yield {
                "images": images,
                "boxes": np.zeros((2, 8, 4), np.float32),
                "labels": np.zeros((2, 8), np.int32),
                "box_mask": (rng.random((2, 8)) < 0.5).astype(np.float32),
                "boxes_ignore": np.zeros((2, 8, 4), np.float32),
                "ignore_mask": np.zeros((2, 8), np.float32),
                "img_shapes": np.full((2, 2), 4, np.float32),
                "pad_shapes": np.full((2, 2), 4, np.float32),
                "ori_shapes": np.full((2, 2), 4, np.float32),
                "scale_factors": np.ones((2, 4), np.float32),
                "img_ids": [2 * index, 2 * index + 1],
                "img_files": [f"epoch{epoch}_image{2 * index + k}.jpg" for k in range(2)],
            }

    def close(self):
        pass


class ToyDetector(jt.Module):
    """Predicts the number of boxes from the mean colour; one of its losses draws random numbers."""

    def __init__(self):
        rng = np.random.default_rng(7)
        self.weight = jt.array(rng.normal(size=(3,)).astype(np.float32))
        self.frozen = jt.array(np.ones(3, np.float32)).stop_grad()

    def execute(self, images, image_shapes=None):
        return self.predict(self.features(images))

    def features(self, images):
        return images.mean([2, 3])  # [N, 3]

    def predict(self, features, targets=None):
        return SimpleNamespace(count=(features * self.weight.broadcast(features, [0])).sum(1))

    def losses(self, trace, targets):
        error = trace.count - targets.mask.sum(1)
        noise = jt.rand(error.shape)
        return {
            "loss_count": [(error * error).mean(), (error * error).mean() * 0.5],
            "loss_noise": (noise * error).mean(),
        }


class ToyAdapter(jt.Module):
    """A factor, and how often it was applied."""

    def __init__(self):
        self.factor = jt.array(np.array([0.5], np.float32))
        self.calls = jt.array(np.array([0.0], np.float32)).stop_grad()

    def execute(self, count):
        self.calls.update(self.calls + 1)
        return count * self.factor.broadcast(count)


class ToyDistiller:
    """Pulls the prediction towards zero through an adapter of its own; notes the steps it was called in."""

    def __init__(self, term="loss_toy"):
        self.adapter, self.term, self.steps = ToyAdapter(), term, []

    def __call__(self, step):
        self.steps.append(step.iteration)
        count = self.adapter(step.trace.count)
        self.last = (count * count).mean()
        return {self.term: self.last}

    def begin(self, total_steps, steps_per_epoch):
        pass

    def modules(self):
        return {f"{self.term}.adapter": self.adapter}

    def log_values(self):
        return {"raw": self.last.detach()}

    def describe_shares(self, losses):
        return {}

    def silent_terms(self, losses):
        return [self.term] if losses[self.term] == 0 else []
